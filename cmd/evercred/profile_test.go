package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// profileNeighbours are members that a save keeps, though the owner's own clients
// drop them (INTEROP §6).
const profileNeighbours = `"organization_uuid":"o-1","account_email":"a@example.org","later":[1,2]`

func (p *place) profiles() string { return filepath.Join(p.home, ".config", "anthropic") }

func (p *place) credentials(name string) string {
	return filepath.Join(p.profiles(), "credentials", name+".json")
}

// profile writes an Anthropic profile with a new login, in a state such as
// "expired" or "fresh,static" (INTEROP §6).
func (p *place) profile(name, state string) error {
	const client = "profile-client"
	p.login = p.endpoint.LoginFor(client)
	p.secrets = append(p.secrets, p.login.Access, p.login.Refresh)
	authentication := fmt.Sprintf(`{"type":"user_oauth","client_id":%q}`, client)
	access, refresh, end, scale := p.login.Access, p.login.Refresh, 8*time.Hour, int64(1)
	stored := true
	for part := range strings.SplitSeq(state, ",") {
		switch part {
		case "fresh":
		case "expiring":
			end = 5 * time.Minute
		case "expired":
			end = -time.Hour
		case "static":
			authentication = `{"type":"user_oauth"}`
		case "no-refresh":
			refresh = ""
		case "blanked":
			access, refresh = "", ""
		case "milliseconds":
			scale = 1000
		case "logged-out":
			stored = false
		case "federation":
			stored = false
			authentication = fmt.Sprintf(`{"type":"oidc_federation","federation_rule_id":"fdrl_1","identity_token":{"source":"file","path":%q}}`, filepath.Join(p.home, "identity"))
		default:
			return fmt.Errorf("no such state: %s", part)
		}
	}
	config := filepath.Join(p.profiles(), "configs", name+".json")
	credentials := fmt.Sprintf(`{"version":"1.0","type":"oauth_token","access_token":%q,"refresh_token":%q,"expires_at":%d,"scope":"user:inference",%s}`,
		access, refresh, time.Now().Add(end).Unix()*scale, profileNeighbours)
	err := errors.Join(
		os.MkdirAll(filepath.Dir(config), 0o700),
		os.MkdirAll(filepath.Dir(p.credentials(name)), 0o700),
		os.WriteFile(config, []byte(`{"version":"1.0","authentication":`+authentication+`,"organization_id":"org-1"}`), 0o600),
	)
	if err == nil && stored {
		err = os.WriteFile(p.credentials(name), []byte(credentials), 0o600)
	}
	return err
}

// profileAccess is what access is for a profile.
func (p *place) profileAccess(name string) (string, error) {
	b, err := os.ReadFile(p.credentials(name))
	if err != nil {
		return "", err
	}
	var doc struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Expires int64  `json:"expires_at"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return "", err
	}
	switch left := doc.Expires - time.Now().Unix(); {
	case doc.Refresh != p.endpoint.Newest(p.login.ID):
		return "", errors.New("the stored refresh token is not the newest one that was answered")
	case left < 0 || left > 24*60*60:
		return "", fmt.Errorf("expires_at is not in seconds: %d", doc.Expires)
	}
	return doc.Access, nil
}
