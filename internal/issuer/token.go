package issuer

import (
	"bytes"
	"net"
	"net/http"
	"time"
)

// token serves one request to the token endpoint. It goes through the stages in
// order, and the log is complete at each.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	rec := s.arrive(Record{
		At:        s.opts.Now(),
		Remote:    r.RemoteAddr,
		UserAgent: r.UserAgent(),
		Method:    r.Method,
		Beta:      r.Header.Get("Anthropic-Beta"),
	})
	q, mistake, err := read(r)
	rec.Form, rec.ClientID, rec.Scope, rec.Refresh = q.form, q.ClientID, q.Scope, Fingerprint(q.RefreshToken)
	s.update(rec)
	f := s.fault(rec)
	how := s.current()
	s.observe(Arrived, rec)

	if err != nil || !s.pause(how.BeforeCommit+f.BeforeCommit, f, Arrived) {
		f = ResetBefore() // the request is incomplete, or the server is closing
	}
	a, issued := s.decide(&rec, q, mistake, how, f)
	s.update(rec)
	s.observe(Committed, rec)
	s.pause(how.AfterCommit+f.AfterCommit, f, Committed)

	s.deliver(w, &rec, f, a, how.Chunked, issued)
	s.observe(Ended, rec)
}

func (s *Server) current() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour
}

// decide performs the grant, unless the fault forbids it, and gives the answer;
// nil: there is none.
func (s *Server) decide(rec *Record, q request, mistake *Answer, how Behaviour, f Fault) (*Answer, *pair) {
	if f.Uncommitted {
		return f.Answer, nil
	}
	a, issued := mistake, (*pair)(nil)
	if a == nil {
		a, issued = s.grant(rec, q, how, f)
	}
	if f.Answer != nil {
		a = f.Answer
	}
	return a, issued
}

func (s *Server) grant(rec *Record, q request, how Behaviour, f Fault) (*Answer, *pair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	r := s.book.grant(now, q.RefreshToken, q.ClientID, how)
	rec.Login, rec.Reuse, rec.Forgiven = r.login, r.reuse, r.forgiven
	if r.committed {
		rec.Committed = now
	}
	if r.issued == nil {
		return refusing(r.refusal, how), nil
	}
	rec.Access = Fingerprint(r.issued.access)
	if r.issued.refresh != nil {
		rec.Successor = Fingerprint(r.issued.refresh.secret)
	}
	return granting(r.issued, now, how.members(f)), r.issued
}

// pause waits a while and then, if the fault holds requests at this stage, for
// the release. It reports false when the server closed meanwhile.
func (s *Server) pause(d time.Duration, f Fault, at Stage) bool {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.done:
			return false
		}
	}
	if f.Hold != at {
		return true
	}
	select {
	case <-f.Release:
		return true
	case <-s.done:
		return false
	}
}

// deliver writes the answer as far as the fault lets it, on the bare
// connection, and closes that.
func (s *Server) deliver(w http.ResponseWriter, rec *Record, f Fault, a *Answer, chunked bool, issued *pair) {
	var raw []byte
	if a != nil {
		raw = a.raw(chunked)
		rec.Status, rec.Size = a.Status, len(raw)
	}
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		s.track(c)
		rec.Wrote = s.write(c, raw, f, *rec)
		s.untrack(c)
		end(c, f.Break)
	}
	rec.Complete = a != nil && rec.Wrote == rec.Size
	rec.Told = issued.within(raw[:rec.Wrote])
	rec.Ended = s.opts.Now()
	s.mu.Lock()
	if rec.Told && issued.refresh != nil {
		issued.refresh.told = true
	}
	s.mu.Unlock()
	s.update(*rec)
}

// write gives the connection the bytes before the fault's mark, and the rest
// unless the fault breaks there.
func (s *Server) write(c net.Conn, raw []byte, f Fault, rec Record) (n int) {
	at := min(max(f.At, 0), len(raw))
	if f.Break == NoBreak && f.Hold != Amid {
		at = len(raw)
	}
	n, err := c.Write(raw[:at])
	if err != nil || at == len(raw) {
		return n
	}
	rec.Wrote = n
	s.update(rec)
	s.observe(Amid, rec)
	if !s.pause(0, f, Amid) || f.Break != NoBreak {
		return n
	}
	m, _ := c.Write(raw[at:])
	return n + m
}

// within reports whether whoever has these bytes has the tokens.
func (p *pair) within(written []byte) bool {
	return p != nil && bytes.Contains(written, []byte(p.access)) &&
		(p.refresh == nil || bytes.Contains(written, []byte(p.refresh.secret)))
}

// end closes a connection in the way of the fault. A linger of zero makes the
// kernel send RST and drop what is not sent yet.
func end(c net.Conn, how Break) {
	under := c
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		under = t.NetConn()
	}
	if tcp, ok := under.(*net.TCPConn); ok && how == Reset {
		tcp.SetLinger(0)
		tcp.Close()
	}
	c.Close()
}

// track lets Close reach a connection that net/http no longer knows.
func (s *Server) track(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	if s.closed {
		c.Close()
	}
}

func (s *Server) untrack(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
