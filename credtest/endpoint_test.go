package credtest

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestEndpoint(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var stages []Stage
		e := NewEndpoint(t, &EndpointOptions{
			TLS: secure, Seed: 1,
			Behaviour: Behaviour{Profile: Idempotent(time.Hour)},
			Observe:   func(at Stage, _ Record) { stages = append(stages, at) },
		})
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: e.Roots}}}
		l := e.Login()
		e.Queue(CutAt(40, Close))
		if _, err := grantOnce(client, e.URL(), l.Refresh); err == nil {
			t.Error("a cut answer was read")
		}
		next, err := grantOnce(client, e.URL(), l.Refresh)
		if err != nil || next != e.Newest(l.ID) || next == l.Refresh {
			t.Errorf("the repeat: %v", err)
		}
		if e.Grants() != 1 || e.Reuses() != 1 || e.Requests() != 2 || !e.Audit()[1].Forgiven {
			t.Errorf("%+v", e.Audit())
		}
		if want := fmt.Sprint([]Stage{Arrived, Committed, Amid, Ended, Arrived, Committed, Ended}); e.Close() != nil || fmt.Sprint(stages) != want {
			t.Errorf("stages %v, want %v", stages, want)
		}
	}
}

func grantOnce(client *http.Client, url, refresh string) (next string, err error) {
	res, err := client.Post(url, "application/json", strings.NewReader(fmt.Sprintf(`{"grant_type":"refresh_token","refresh_token":%q}`, refresh)))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var a struct {
		Refresh string `json:"refresh_token"`
	}
	err = json.NewDecoder(res.Body).Decode(&a)
	return a.Refresh, err
}

// The endpoint ends with its test, though a request hangs in it.
func TestEndpointEndsWithTheTest(t *testing.T) {
	var e *Endpoint
	got := make(chan error, 1)
	t.Run("inner", func(t *testing.T) {
		arrived := make(chan struct{})
		e = NewEndpoint(t, &EndpointOptions{Observe: func(at Stage, _ Record) {
			if at == Arrived {
				close(arrived)
			}
		}})
		f, _ := Hang(Arrived)
		e.Script(1, f)
		url, refresh := e.URL(), e.Login().Refresh
		go func() {
			_, err := grantOnce(http.DefaultClient, url, refresh)
			got <- err
		}()
		<-arrived
	})
	if err := <-got; err == nil {
		t.Error("the request was answered")
	}
	if e.Grants() != 0 || e.Audit()[0].Ended.IsZero() {
		t.Errorf("%+v", e.Audit())
	}
}
