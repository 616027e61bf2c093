package mutants

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evercred/evercred/internal/proof/suite"
)

const module = "github.com/evercred/evercred"

// subject is what is examined of one package.
type subject struct {
	dir   string   // relative to the module
	files []string // none: all of them
}

// subjects are the transaction, the locks, the durable save and the escrow, and
// so are the packages whose tests must find the mutants.
var subjects = []subject{
	{dir: "internal/decide"},
	{dir: "internal/ledger"},
	{dir: "internal/durable"},
	{dir: "internal/dirlock"},
	{dir: "filestore", files: []string{"lock.go", "save.go"}},
	{dir: ".", files: []string{"refresh.go"}},
	{dir: "owner/claudecode", files: []string{"lock.go"}},
}

func (s subject) path() string { return strings.TrimSuffix(module+"/"+s.dir, "/.") }

// has reports whether a file of the package belongs to the subject.
func (s subject) has(file string) bool { return s.files == nil || slices.Contains(s.files, file) }

// listed is a package as `go list` has it.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// packages lists those at paths and all that they import, compiled.
func packages(r *suite.Run, paths ...string) (map[string]listed, error) {
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles"}
	if r.Overlay != "" {
		args = append(args, "-overlay="+r.Overlay)
	}
	out, err := goTool(r, append(args, paths...)...)
	if err != nil {
		return nil, err
	}
	all := map[string]listed{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
}

// program is the subjects with all of their mutants in them.
type program struct {
	mutants []Mutant
	overlay string // the file for go build
}

// instrument makes it. The tree is not touched: the compiler gets the changed
// files as an overlay.
func instrument(r *suite.Run, of []subject) (*program, error) {
	var paths []string
	for _, s := range of {
		paths = append(paths, s.path())
	}
	all, err := packages(r, paths...)
	if err != nil {
		return nil, err
	}
	replaced, err := overlaid(r)
	if err != nil {
		return nil, err
	}
	p := &program{overlay: filepath.Join(r.Dir, "mutants.json")}
	fset := token.NewFileSet()
	compiled := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(all[path].Export) })
	for _, s := range of {
		if err := p.add(r, fset, compiled, s, all[s.path()], replaced); err != nil {
			return nil, fmt.Errorf("%s: %w", s.dir, err)
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return nil, err
	}
	return p, os.WriteFile(p.overlay, b, 0o600)
}

// overlaid are the files that a negative control has changed.
func overlaid(r *suite.Run) (map[string]string, error) {
	o := struct{ Replace map[string]string }{map[string]string{}}
	if r.Overlay == "" {
		return o.Replace, nil
	}
	b, err := os.ReadFile(r.Overlay)
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	return o.Replace, err
}

func (p *program) add(r *suite.Run, fset *token.FileSet, compiled types.Importer, s subject, l listed, replaced map[string]string) error {
	type source struct {
		path string
		text []byte
		tree *ast.File
	}
	var sources []source
	var trees []*ast.File
	for _, name := range l.GoFiles {
		path := filepath.Join(l.Dir, name)
		from := path
		if changed, ok := replaced[path]; ok {
			from = changed
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		trees = append(trees, tree)
		if s.has(name) {
			sources = append(sources, source{path, text, tree})
		}
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	pkg, err := (&types.Config{Importer: compiled}).Check(l.ImportPath, fset, trees, info)
	if err != nil {
		return err
	}
	put := func(path string, text []byte) error {
		f, err := os.CreateTemp(r.Dir, "mutated-*.go")
		if err != nil {
			return err
		}
		replaced[path] = f.Name()
		_, err = f.Write(text)
		return errors.Join(err, f.Close())
	}
	for _, f := range sources {
		m := &mutator{fset: fset, info: info, pkg: pkg, source: f.text, from: len(p.mutants) + 1, perLine: map[string]int{}, clauses: map[ast.Stmt]bool{}, void: map[ast.Expr]bool{}}
		if m.name, err = filepath.Rel(r.Module, f.path); err != nil {
			return err
		}
		m.file(f.tree)
		p.mutants = append(p.mutants, m.mutants...)
		if err := put(f.path, m.rewritten()); err != nil {
			return err
		}
	}
	return put(filepath.Join(l.Dir, "mutant_on.go"), []byte(fmt.Sprintf(question, pkg.Name())))
}

// question is added to each package. Which mutant is on stands in a file beside
// the program, so that a test's child processes are mutants too.
const question = `package %s

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

var (
	mutantActive, mutantTrace = mutantLoad()
	mutantSeen                sync.Map
)

func mutantLoad() (int, *os.File) {
	exe, _ := os.Executable()
	b, _ := os.ReadFile(filepath.Join(filepath.Dir(exe), "mutant"))
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	trace, _ := os.OpenFile(filepath.Join(filepath.Dir(exe), "reached"), os.O_WRONLY|os.O_APPEND, 0)
	return n, trace
}

func mutantOn(id int) bool {
	if mutantTrace != nil {
		if _, seen := mutantSeen.LoadOrStore(id, true); !seen {
			fmt.Fprintln(mutantTrace, id)
		}
	}
	return id == mutantActive
}

func mutantPlus[T int | int8 | int16 | int32 | int64 | uint | uint8 | uint16 | uint32 | uint64](on bool, n T) T {
	if on {
		n++
	}
	return n
}
`

// goTool runs the go command in the module.
func goTool(r *suite.Run, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(r.Context(), "go", args...)
	cmd.Dir, cmd.Env = r.Module, suite.Env(r.Dir)
	var text bytes.Buffer
	cmd.Stderr = &text
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("go %s: %w\n%s%s", args[0], err, out, text.Bytes())
	}
	return out, err
}
