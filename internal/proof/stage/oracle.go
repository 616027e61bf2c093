package stage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/evercred/evercred/owner/claudecode"
)

// Oracle says what is wrong with what is left of a login (PROOF, "The oracle"):
// the document parses, foreign bytes are identical, the newest refresh token
// that the endpoint answered with is stored or in the escrow, modes are kept,
// nothing is left over. It is asked when every process of evercred has ended
// in its own way: after a kill, the next one has to clean up first.
func (l *Login) Oracle() []string {
	wrong := l.document()
	return append(wrong, l.Leftovers()...)
}

// document is the part of the Oracle that holds at every moment, even while
// processes lie dead with their locks.
func (l *Login) document() []string {
	var wrong []string
	doc, err := os.ReadFile(l.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the case logged out
	} else if err != nil {
		return []string{err.Error()}
	}
	if why := Foreign(doc, l.InPlace); why != "" {
		wrong = append(wrong, why)
	}
	if _, err := (claudecode.Codec{}).Decode(doc); err != nil {
		wrong = append(wrong, "the document does not parse: "+err.Error())
	}
	if info, err := os.Stat(l.Path()); err != nil || info.Mode().Perm() != l.mode {
		wrong = append(wrong, fmt.Sprintf("mode %v %v", info.Mode(), err))
	}
	if newest := l.Endpoint.Newest(l.ID); newest != "" && l.Endpoint.Alive(newest) && !bytes.Contains(doc, []byte(newest)) && !l.InEscrow(newest) {
		wrong = append(wrong, "the newest refresh token that was answered is neither stored nor in the escrow")
	}
	return wrong
}

// Foreign says which bytes outside our three values differ from those that
// were laid; empty: none.
func Foreign(doc []byte, inPlace bool) string {
	rest := string(doc)
	if inPlace {
		rest = strings.TrimRight(rest, " \t\r\n") + "\n"
	}
	for i, part := range around {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, part); !ok {
			return fmt.Sprintf("foreign bytes changed: part %d is not what was laid", i)
		}
		if i < len(around)-1 {
			end := strings.Index(rest, around[i+1])
			if end < 0 {
				return fmt.Sprintf("foreign bytes changed: part %d is gone", i+1)
			}
			rest = rest[end:]
		}
	}
	if rest != "" {
		return fmt.Sprintf("foreign bytes changed: %d more at the end", len(rest))
	}
	return ""
}

// InEscrow reports whether an open attempt holds a token.
func (l *Login) InEscrow(token string) bool {
	open, _ := filepath.Glob(filepath.Join(l.Ledger(), "*.open"))
	for _, name := range open {
		if b, _ := os.ReadFile(name); bytes.Contains(b, []byte(token)) {
			return true
		}
	}
	return false
}

// Open counts the attempts without a conclusion.
func (l *Login) Open() int {
	open, _ := filepath.Glob(filepath.Join(l.Ledger(), "*.open"))
	return len(open)
}

// Leftovers is the part of the Oracle that speaks of what nobody needs any
// more: locks, temporary files, records with a secret.
func (l *Login) Leftovers() []string {
	var wrong []string
	_ = filepath.WalkDir(filepath.Dir(l.Dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		name := d.Name()
		if strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, "tmp-") || strings.HasPrefix(name, "lock-") {
			wrong = append(wrong, "left over: "+path)
		}
		if !d.IsDir() && strings.Contains(path, ".evercred") && !strings.HasSuffix(name, ".open") {
			if b, _ := os.ReadFile(path); bytes.Contains(b, []byte("sk-ant-o")) {
				wrong = append(wrong, "a secret is left in "+path)
			}
		}
		return nil
	})
	return wrong
}
