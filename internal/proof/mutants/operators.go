package mutants

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// Mutant is one small mistake that somebody could have made.
type Mutant struct {
	ID       int
	Name     string // "refresh.go:123:negate", and "~2" behind the second of a line
	Key      string // "refresh.go (*flight).look negate f.keeper != nil": as equivalent.txt has it
	Operator string
	Package  string
}

// The operators: the mistakes that matter in code like this.
const (
	negate   = "negate"   // a condition, or a part of one, the other way round
	boundary = "boundary" // < for <=, > for >=
	logic    = "logic"    // || for &&
	never    = "never"    // the early return is not taken
	remove   = "remove"   // a call or an assignment is left out
	noError  = "no-error" // nil instead of the error
	plusOne  = "plus-one" // a number that is one too large
	noDefer  = "no-defer" // what is deferred is not done
	noCase   = "no-case"  // the case of a switch does nothing
)

// change replaces a range of a file. out gets the text of any part of the
// range, with the changes within it made.
type change struct {
	start, end int
	out        func(text func(start, end int) string) string
}

// mutator puts all mutants of one file into it at once: each behind a question
// to mutantOn, so that one build serves them all.
type mutator struct {
	fset    *token.FileSet
	info    *types.Info
	pkg     *types.Package
	name    string // of the file, relative to the module
	source  []byte
	from    int // the ID of the first mutant
	mutants []Mutant
	changes []change
	fn      *ast.FuncDecl
	results *types.Signature // of the innermost function
	perLine map[string]int
	clauses map[ast.Stmt]bool
	void    map[ast.Expr]bool // results that nobody may look at
}

func (m *mutator) offset(p token.Pos) int { return m.fset.Position(p).Offset }

func (m *mutator) text(n ast.Node) string {
	return string(m.source[m.offset(n.Pos()):m.offset(n.End())])
}

// add notes a mutant of n and returns the question whether it is on.
func (m *mutator) add(operator string, n ast.Node) string {
	name := fmt.Sprintf("%s:%d:%s", m.name, m.fset.Position(n.Pos()).Line, operator)
	m.perLine[name]++
	if k := m.perLine[name]; k > 1 {
		name += fmt.Sprint("~", k)
	}
	id := m.from + len(m.mutants)
	text := strings.Join(strings.Fields(m.text(n)), " ")
	if len(text) > 80 {
		text = text[:80]
	}
	m.mutants = append(m.mutants, Mutant{
		ID: id, Name: name, Operator: operator, Package: m.pkg.Path(),
		Key: fmt.Sprintf("%s %s %s %s", m.name, m.function(), operator, text),
	})
	return fmt.Sprintf("mutantOn(%d)", id)
}

func (m *mutator) function() string {
	if m.fn.Recv == nil {
		return m.fn.Name.Name
	}
	return "(" + m.text(m.fn.Recv.List[0].Type) + ")." + m.fn.Name.Name
}

func (m *mutator) change(n ast.Node, out func(text func(start, end int) string) string) {
	m.changes = append(m.changes, change{m.offset(n.Pos()), m.offset(n.End()), out})
}

// wrap puts something before and behind n.
func (m *mutator) wrap(n ast.Node, before, behind string) {
	start, end := m.offset(n.Pos()), m.offset(n.End())
	m.change(n, func(text func(int, int) string) string { return before + text(start, end) + behind })
}

// file finds the mutants of all functions.
func (m *mutator) file(f *ast.File) {
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Body != nil {
			m.fn = fn
			m.body(fn.Body, m.info.Defs[fn.Name].Type().(*types.Signature))
		}
	}
}

// body finds the mutants of one function; those within it come later, with
// their own results.
func (m *mutator) body(b *ast.BlockStmt, results *types.Signature) {
	outer := m.results
	m.results = results
	ast.Inspect(b, m.visit)
	m.results = outer
	if results.Results().Len() > 0 { // a mutant must not end the function without a return
		end := m.offset(b.Rbrace)
		m.changes = append(m.changes, change{end, end, func(func(int, int) string) string { return `; panic("mutant")` }})
	}
}

func (m *mutator) visit(n ast.Node) bool {
	if e, ok := n.(ast.Expr); ok && m.info.Types[e].Value != nil {
		if !m.void[e] {
			m.number(e)
		}
		return false // a part of a constant is no mutant of its own
	}
	switch n := n.(type) {
	case *ast.FuncLit:
		m.body(n.Body, m.info.Types[n].Type.(*types.Signature))
		return false
	case *ast.DeclStmt:
		return n.Decl.(*ast.GenDecl).Tok != token.CONST
	case *ast.SwitchStmt:
		m.clause(n.Init)
	case *ast.TypeSwitchStmt:
		m.clause(n.Init)
		m.clause(n.Assign)
	case *ast.IfStmt:
		m.clause(n.Init)
		m.condition(n.Cond)
		if n.Else == nil && leaves(n.Body) {
			on := m.add(never, n.Cond)
			m.wrap(n.Cond, "(", ") && !"+on)
		}
	case *ast.ForStmt:
		m.clause(n.Init)
		m.clause(n.Post)
		if n.Cond != nil {
			m.condition(n.Cond)
		}
	case *ast.BinaryExpr:
		m.binary(n)
	case *ast.ExprStmt:
		if call, ok := n.X.(*ast.CallExpr); ok && m.text(call.Fun) != "crash.At" && m.text(call.Fun) != "panic" {
			m.drop(remove, n)
		}
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE && !blank(n.Lhs) {
			m.drop(remove, n)
		}
	case *ast.IncDecStmt:
		m.drop(remove, n)
	case *ast.DeferStmt:
		m.drop(noDefer, n)
	case *ast.ReturnStmt:
		m.returned(n)
	case *ast.CaseClause:
		m.empty(n, n.Body)
		if n.List != nil && !m.isType(n.List[0]) && isBool(m.info.TypeOf(n.List[0])) {
			for _, e := range n.List {
				m.condition(e)
			}
		}
	case *ast.CommClause:
		m.clause(n.Comm)
		m.empty(n, n.Body)
	case *ast.ArrayType:
		return false
	}
	return true
}

// clause keeps what is a part of a statement, and no statement of a block, from
// being left out.
func (m *mutator) clause(s ast.Stmt) {
	if s != nil {
		m.clauses[s] = true
	}
}

// blank: every left side is the blank identifier.
func blank(left []ast.Expr) bool {
	return !slices.ContainsFunc(left, func(e ast.Expr) bool { i, ok := e.(*ast.Ident); return !ok || i.Name != "_" })
}

// leaves: the block ends by leaving what is around it.
func leaves(b *ast.BlockStmt) bool {
	if len(b.List) == 0 {
		return false
	}
	switch b.List[len(b.List)-1].(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		return true
	}
	return false
}

func isBool(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsBoolean != 0
}

// condition negates e, or its parts.
func (m *mutator) condition(e ast.Expr) {
	switch x := ast.Unparen(e).(type) {
	case *ast.BinaryExpr: // comparisons are negated where they are met
		if x.Op == token.LAND || x.Op == token.LOR {
			m.condition(x.X)
			m.condition(x.Y)
		}
	default:
		on := m.add(negate, e)
		m.wrap(e, "((", ") != "+on+")")
	}
}

var other = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.LAND: token.LOR, token.LOR: token.LAND,
}

func (m *mutator) binary(n *ast.BinaryExpr) {
	switch n.Op {
	case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
		on := m.add(negate, n)
		m.wrap(n, "((", ") != "+on+")")
	}
	with, ok := other[n.Op]
	if !ok {
		return
	}
	operator := boundary
	if n.Op == token.LAND || n.Op == token.LOR {
		operator = logic
	}
	on := m.add(operator, n)
	x, y := [2]int{m.offset(n.X.Pos()), m.offset(n.X.End())}, [2]int{m.offset(n.Y.Pos()), m.offset(n.Y.End())}
	op := n.Op
	m.change(n, func(text func(int, int) string) string {
		a, b := text(x[0], x[1]), text(y[0], y[1])
		return fmt.Sprintf("(%s && (%s %s %s) || !%s && (%s %s %s))", on, a, with, b, on, a, op, b)
	})
}

// drop leaves a statement out.
func (m *mutator) drop(operator string, n ast.Stmt) {
	if m.clauses[n] {
		return
	}
	on := m.add(operator, n)
	m.wrap(n, "if !"+on+" { ", " }")
}

// empty makes a case do nothing.
func (m *mutator) empty(n ast.Node, body []ast.Stmt) {
	if len(body) == 0 {
		return
	}
	on := m.add(noCase, n)
	at := m.offset(body[0].Pos())
	m.changes = append(m.changes, change{at, at, func(func(int, int) string) string { return "if " + on + " { break }; " }})
}

// returned gives nil for the error.
func (m *mutator) returned(n *ast.ReturnStmt) {
	// What stands beside an error means nothing, so no mistake in it matters.
	failed := len(n.Results) > 1 && m.info.TypeOf(n.Results[len(n.Results)-1]).String() == "error"
	for _, e := range n.Results {
		m.void[e] = failed
		if failed {
			continue
		}
		if v := m.info.Types[e].Value; v != nil && v.Kind() == constant.Bool {
			on := m.add(negate, e)
			m.wrap(e, "((", ") != "+on+")")
		}
	}
	results := m.results.Results()
	if results.Len() == 0 || len(n.Results) != results.Len() || results.At(results.Len()-1).Type().String() != "error" {
		return
	}
	last := n.Results[len(n.Results)-1]
	if m.text(last) == "nil" {
		return
	}
	on := m.add(noError, n)
	start, mid, end := m.offset(n.Pos()), m.offset(last.Pos()), m.offset(last.End())
	effect := ""
	if _, ok := last.(*ast.CallExpr); ok {
		effect = "_ = " + string(m.source[mid:end]) + "; "
	}
	m.change(n, func(text func(int, int) string) string {
		return "if " + on + " { " + effect + string(m.source[start:mid]) + "nil }; " + text(start, end)
	})
}

// number adds one to a number that is written down, or has a name of ours.
// Enumerations, file modes, durations and letters are left alone.
func (m *mutator) number(e ast.Expr) {
	tv := m.info.Types[e]
	if tv.Value.Kind() != constant.Int || strings.HasPrefix(m.text(e), "0o") || strings.HasPrefix(m.text(e), "'") || m.foreign(e) {
		return
	}
	basic, ok := tv.Type.(*types.Basic)
	if !ok || basic.Info()&types.IsInteger == 0 {
		return
	}
	name := types.Default(basic).String()
	on := m.add(plusOne, e)
	m.wrap(e, "mutantPlus["+name+"]("+on+", ", ")")
}

// foreign: e is a constant of a package that is not ours, as os.O_RDWR.
func (m *mutator) foreign(e ast.Expr) (is bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			if c, ok := m.info.Uses[id].(*types.Const); ok && (c.Pkg() == nil || !strings.HasPrefix(c.Pkg().Path(), module)) {
				is = true
			}
		}
		return true
	})
	return is
}

func (m *mutator) isType(e ast.Expr) bool { return m.info.Types[e].IsType() }

// rewritten is the file with all of its mutants in it.
func (m *mutator) rewritten() []byte {
	slices.SortStableFunc(m.changes, func(a, b change) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return b.end - a.end
	})
	return []byte(m.render(m.changes, 0, len(m.source)))
}

// render writes source[start:end] with the changes within it made; they are
// sorted, those around others before them.
func (m *mutator) render(changes []change, start, end int) string {
	var b strings.Builder
	for at := start; ; {
		i := slices.IndexFunc(changes, func(c change) bool { return c.start >= at && c.end <= end })
		if i < 0 {
			b.Write(m.source[at:end])
			return b.String()
		}
		c, rest := changes[i], changes[i+1:]
		b.Write(m.source[at:c.start])
		within := rest
		if c.start == c.end {
			within = nil
		}
		b.WriteString(c.out(func(start, end int) string {
			return m.render(inside(within, start, end), start, end)
		}))
		at, changes = c.end, rest
		if c.start == c.end {
			continue
		}
		changes = slices.DeleteFunc(slices.Clone(rest), func(d change) bool { return d.start < c.end && d.end <= c.end })
	}
}

func inside(changes []change, start, end int) []change {
	var in []change
	for _, c := range changes {
		if c.start >= start && c.end <= end {
			in = append(in, c)
		}
	}
	return in
}
