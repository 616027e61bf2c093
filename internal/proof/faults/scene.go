package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
)

// scene is a state of a login in which `evercred token` has much to do.
type scene struct {
	name string
	left time.Duration // of the access token
	// escrowed: a process died with the answer in its attempt, so no more is
	// asked of the endpoint.
	escrowed bool
	lay      func(c *place) error // beyond a plain login
}

var scenes = []scene{
	{name: "first", left: -time.Minute},
	{name: "again", left: -time.Minute, lay: (*place).refreshed},
	{name: "early", left: 5 * time.Minute},
	{name: "link", left: -time.Minute, lay: (*place).behindLink},
	{name: "hard-link", left: -time.Minute, lay: (*place).underTwoNames},
	{name: "escrow", left: -time.Minute, escrowed: true, lay: (*place).died},
	{name: "blanked", left: -time.Minute, escrowed: true, lay: func(p *place) error {
		return errors.Join(p.died(), p.login.Blank())
	}},
}

// profiles are the endpoints: one that gives no second chance, and one that does.
var profiles = map[string]issuer.Profile{"strict": issuer.Strict(), "window": issuer.Idempotent(time.Hour)}

// place is where one case happens.
type place struct {
	ctx     context.Context
	scene   scene
	dir     string
	program stage.Program
	login   *stage.Login
}

// newPlace lays a scene in an empty directory.
func newPlace(ctx context.Context, s scene, dir, profile string, program stage.Program) (*place, error) {
	l, err := stage.New(dir, s.left, issuer.Behaviour{
		Profile: profiles[profile],
		Members: map[string]string{"scope": ""}, // the oracle takes scopes for foreign bytes
	})
	if err != nil {
		return nil, err
	}
	p := &place{ctx, s, dir, program, l}
	if s.lay != nil {
		if err := s.lay(p); err != nil {
			l.Close()
			return nil, fmt.Errorf("lay the scene %s: %w", s.name, err)
		}
	}
	return p, nil
}

// refreshed leaves the ledger of an earlier refresh.
func (p *place) refreshed() error {
	if o := p.again("token"); o.Code != 0 {
		return fmt.Errorf("the first refresh: exit %d: %s", o.Code, o.Messages)
	}
	access, refresh, _, err := p.login.Stored()
	if err != nil {
		return err
	}
	return p.login.Write(access, refresh, time.Now().Add(p.scene.left))
}

func (p *place) behindLink() error {
	real := filepath.Join(p.dir, "elsewhere")
	if err := os.Mkdir(real, 0o700); err != nil {
		return err
	}
	real = filepath.Join(real, "login.json")
	if err := os.Rename(p.login.Path(), real); err != nil {
		return err
	}
	return os.Symlink(real, p.login.Path())
}

func (p *place) underTwoNames() error {
	p.login.InPlace = true
	return os.Link(p.login.Path(), filepath.Join(p.dir, "second-name.json"))
}

// died leaves what a process leaves that is killed when the new document stands
// beside the old one.
func (p *place) died() error {
	t := tracer{calls: "renameat", inject: "renameat:signal=KILL", path: p.login.Path()}
	var err error
	o := p.patiently(func() (o stage.Outcome) {
		o, _, err = t.run(p.program.Command(p.ctx, p.login, "token"), filepath.Join(p.dir, "died.trace"))
		return o
	})
	if err == nil && o.Signal != syscall.SIGKILL {
		err = fmt.Errorf("the process to be killed lived: exit %d: %s", o.Code, o.Messages)
	}
	return err
}

// again runs a command until it is told something else than to come again
// later: failures have their cooldowns, and a lock that could not be removed
// its age.
func (p *place) again(args ...string) stage.Outcome {
	return p.patiently(func() stage.Outcome { return stage.Run(p.program.Command(p.ctx, p.login, args...)) })
}

func (p *place) patiently(run func() stage.Outcome) stage.Outcome {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for end := time.Now().Add(40 * time.Second); ; {
		o := run()
		if o.Code != 5 && o.Code != 6 || time.Now().After(end) || p.ctx.Err() != nil {
			return o
		}
		<-ticks.C
	}
}
