package credtest

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/issuer"
)

func TestEndpoint(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var mu sync.Mutex
		stages := make(map[int][]Stage)
		e := NewEndpoint(t, &EndpointOptions{
			TLS: secure, Seed: 1,
			Behaviour: Behaviour{Profile: Idempotent(time.Hour)},
			Observe: func(at Stage, r Record) {
				mu.Lock()
				defer mu.Unlock()
				stages[r.N] = append(stages[r.N], at)
			},
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
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		want := map[int][]Stage{1: {Arrived, Committed, Amid, Ended}, 2: {Arrived, Committed, Ended}}
		if !reflect.DeepEqual(stages, want) {
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

// Each word here means what it means to the endpoint.
func TestWords(t *testing.T) {
	const d, e = time.Second, time.Minute
	for name, pair := range map[string][2]any{
		"Strict":       {Strict(), issuer.Strict()},
		"Idempotent":   {Idempotent(d), issuer.Idempotent(d)},
		"Sibling":      {Sibling(d), issuer.Sibling(d)},
		"NoRotation":   {NoRotation(), issuer.NoRotation()},
		"ResetBefore":  {ResetBefore(), issuer.ResetBefore()},
		"ResetAfter":   {ResetAfter(), issuer.ResetAfter()},
		"CutAt":        {CutAt(7, Reset), issuer.CutAt(7, issuer.Reset)},
		"StatusBefore": {StatusBefore(503), issuer.StatusBefore(503)},
		"StatusAfter":  {StatusAfter(503), issuer.StatusAfter(503)},
		"Limited":      {Limited("9"), issuer.Limited("9")},
		"Page":         {Page(404, "gone"), issuer.Page(404, "gone")},
		"Redirect":     {Redirect(307, "http://127.0.0.1/"), issuer.Redirect(307, "http://127.0.0.1/")},
		"Garbage":      {Garbage("x"), issuer.Garbage("x")},
		"Huge":         {Huge(9), issuer.Huge(9)},
		"Slow":         {Slow(d, e), issuer.Slow(d, e)},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s is %+v, want %+v", name, pair[0], pair[1])
		}
	}
}
