package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// crate is the algorithm of the crate that evercred replaces, written in Go for
// the comparison (docs/proof.md, row P): it reads the file at each call, and
// within 60 s of the end takes a mutex of its process, reads again, sends a form
// without a client id, and replaces the file by what it knows of it.
type crate struct {
	mu   sync.Mutex
	path string
	url  string
}

// crateFile is all that it knows of the document.
type crateFile struct {
	Login crateLogin `json:"claudeAiOauth"`
}

type crateLogin struct {
	AccessToken      string   `json:"accessToken"`
	RefreshToken     string   `json:"refreshToken"`
	ExpiresAt        int64    `json:"expiresAt"`
	Scopes           []string `json:"scopes"`
	SubscriptionType string   `json:"subscriptionType,omitempty"`
}

func (l crateLogin) fresh() bool { return time.Until(time.UnixMilli(l.ExpiresAt)) > time.Minute }

func (c *crate) token(ctx context.Context) (string, error) {
	l, err := c.load()
	if err != nil || l.fresh() {
		return l.AccessToken, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l, err = c.load(); err != nil || l.fresh() {
		return l.AccessToken, err
	}
	if l, err = c.grant(ctx, l); err != nil {
		return "", err
	}
	return l.AccessToken, c.save(l)
}

func (c *crate) load() (crateLogin, error) {
	var f crateFile
	b, err := os.ReadFile(c.path)
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	return f.Login, err
}

// grant keeps what the answer does not speak of.
func (c *crate) grant(ctx context.Context, l crateLogin) (crateLogin, error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {l.RefreshToken}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewBufferString(form.Encode()))
	if err != nil {
		return l, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return l, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return l, fmt.Errorf("the endpoint answered %s", resp.Status)
	}
	var a struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		ExpiresIn    int64  `json:"expires_in"`
		Scope        string `json:"scope"`
	}
	b, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err == nil && a.AccessToken == "" {
		err = errors.New("the answer holds no token")
	}
	if err != nil {
		return l, err
	}
	l.AccessToken = a.AccessToken
	l.ExpiresAt = time.Now().Add(time.Duration(a.ExpiresIn) * time.Second).UnixMilli()
	if a.RefreshToken != "" {
		l.RefreshToken = a.RefreshToken
	}
	if a.Scope != "" {
		l.Scopes = strings.Fields(a.Scope)
	}
	return l, nil
}

// save has the default mode, one temporary name for all, and no fsync.
func (c *crate) save(l crateLogin) error {
	b, err := json.MarshalIndent(crateFile{l}, "", "  ")
	if err != nil {
		return err
	}
	tmp := c.path + ".tmp"
	if err := os.WriteFile(tmp, b, 0o666); err != nil {
		return err
	}
	return os.Rename(tmp, c.path)
}
