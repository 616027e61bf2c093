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
		s.write(c, raw, rec, f, issued)
		s.untrack(c)
		end(c, f.Break)
	}
	rec.Ended = s.opts.Now()
	s.update(*rec)
}

// write gives the connection the bytes before the fault's mark, and the rest
// unless the fault breaks there.
func (s *Server) write(c net.Conn, raw []byte, rec *Record, f Fault, issued *pair) {
	at := min(max(f.At, 0), len(raw))
	if f.Break == NoBreak && f.Hold != Amid {
		at = len(raw)
	}
	if !s.put(c, raw, 0, at, rec, issued) || at == len(raw) {
		return
	}
	s.observe(Amid, *rec)
	if s.pause(0, f, Amid) && f.Break == NoBreak {
		s.put(c, raw, at, len(raw), rec, issued)
	}
}

// put writes raw[from:to]. The log says so before, since whoever has read the
// answer must find it there, and is corrected if it could not be written.
func (s *Server) put(c net.Conn, raw []byte, from, to int, rec *Record, issued *pair) bool {
	s.wrote(raw[:to], rec, issued)
	n, err := c.Write(raw[from:to])
	if err != nil {
		s.wrote(raw[:from+n], rec, issued)
	}
	return err == nil
}

// wrote notes what of the answer went out, and whom that told what.
func (s *Server) wrote(part []byte, rec *Record, issued *pair) {
	told := issued.within(part)
	if rotated := issued != nil && issued.refresh != nil; rotated && told != rec.Told {
		s.mu.Lock()
		if told {
			issued.refresh.told++
		} else {
			issued.refresh.told--
		}
		s.mu.Unlock()
	}
	rec.Wrote, rec.Told, rec.Complete = len(part), told, rec.Status != 0 && len(part) == rec.Size
	s.update(*rec)
}

// within reports whether whoever has these bytes has the tokens, and can know
// that they are whole.
func (p *pair) within(written []byte) bool {
	whole := func(secret string) bool { return bytes.Contains(written, []byte(secret+`"`)) }
	return p != nil && whole(p.access) && (p.refresh == nil || whole(p.refresh.secret))
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
