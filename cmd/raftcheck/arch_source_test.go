package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// source is a package's own files, parsed and, as far as it goes without its imports, resolved.
type source struct {
	pkg   pkg
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
	scope *types.Scope
}

// nowhere is an importer that finds empty packages: what is asked here needs no types of others.
type nowhere map[string]*types.Package

func (n nowhere) Import(p string) (*types.Package, error) {
	if n[p] == nil {
		n[p] = types.NewPackage(p, path.Base(p))
		n[p].MarkComplete()
	}
	return n[p], nil
}

func parse(t *testing.T, p pkg) source {
	t.Helper()
	s := source{pkg: p, fset: token.NewFileSet(), info: &types.Info{
		Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}}
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(s.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, f)
	}
	conf := types.Config{Importer: nowhere{}, Error: func(error) {}}
	// Errors are about the imports that are not there.
	checked, _ := conf.Check(p.ImportPath, s.fset, s.files, s.info)
	if checked == nil {
		t.Fatalf("%s: can not be resolved", p.path())
	}
	s.scope = checked.Scope()
	return s
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, p := range allPackages(t) {
		all = append(all, parse(t, p))
	}
	return all
}

func (s source) at(n ast.Node) string {
	pos := s.fset.Position(n.Pos())
	return fmt.Sprintf("%s/%s:%d", s.pkg.path(), filepath.Base(pos.Filename), pos.Line)
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range allPackages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.path())
		}
	}
}

func TestEveryExportedNameIsExplained(t *testing.T) {
	for _, s := range sources(t) {
		for _, f := range s.files {
			for _, d := range f.Decls {
				for _, missing := range unexplained(d) {
					t.Errorf("%s: %s has no comment", s.at(missing), missing.Name)
				}
			}
		}
	}
}

// unexplained lists the exported names that a declaration leaves without a comment. A comment on a
// group covers all of it.
func unexplained(d ast.Decl) (names []*ast.Ident) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		// A method that every Go programmer knows needs no words.
		known := d.Recv != nil && slices.Contains([]string{"Error", "String", "Unwrap"}, d.Name.Name)
		if d.Name.IsExported() && d.Doc == nil && !known && (d.Recv == nil || receiverExported(d)) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					names = append(names, spec.Name)
				}
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					if n.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
						names = append(names, n)
					}
				}
			}
		}
	}
	return names
}

func receiverExported(d *ast.FuncDecl) bool {
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.IsExported() {
			exported = true
		}
		return true
	})
	return exported
}

func TestNothingRunsBeforeMain(t *testing.T) {
	for _, s := range sources(t) {
		for _, f := range s.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: func init", s.at(fn))
				}
			}
		}
	}
}

func TestOnlyMainPackagesEndTheProgram(t *testing.T) {
	never := map[string][]string{
		"os":      {"Exit"},
		"log":     {"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"},
		"runtime": {"Goexit"},
	}
	for _, s := range sources(t) {
		if s.pkg.Name == "main" {
			continue
		}
		s.selectors(func(sel *ast.SelectorExpr, imported string) {
			if slices.Contains(never[imported], sel.Sel.Name) {
				t.Errorf("%s: %s.%s in a library", s.at(sel), imported, sel.Sel.Name)
			}
		})
	}
}

func TestOnlyTestsTakeATestingT(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasSuffix(s.pkg.Name, "test") {
			continue // a suite that others' tests call
		}
		if slices.Contains(s.pkg.Imports, "testing") {
			t.Errorf("%s imports testing outside of its tests", s.pkg.path())
		}
	}
}

// selectors calls visit for each pkg.Name in the source.
func (s source) selectors(visit func(sel *ast.SelectorExpr, imported string)) {
	for _, f := range s.files {
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if id, ok := sel.X.(*ast.Ident); ok {
				if name, ok := s.info.Uses[id].(*types.PkgName); ok {
					visit(sel, name.Imported().Path())
				}
			}
			return true
		})
	}
}

func TestPackageVariablesNeverChange(t *testing.T) {
	for _, s := range sources(t) {
		for _, complaint := range s.mutable() {
			t.Error(complaint)
		}
	}
}

// mutable lists the package variables that change, or whose only use could be to change: those
// without a first value. A variable that is written to once, where it is declared, is a table, an
// error that others compare with, or an embedded file, and may stay.
func (s source) mutable() (complaints []string) {
	for _, f := range s.files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if len(v.Values) == 0 && !embedded(g, v) {
					complaints = append(complaints,
						fmt.Sprintf("%s: %s has no first value", s.at(v), v.Names[0].Name))
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			for _, target := range written(n) {
				id := rootOf(target)
				if id == nil {
					continue
				}
				obj, ok := s.info.Uses[id].(*types.Var)
				if ok && obj.Parent() == s.scope {
					complaints = append(complaints,
						fmt.Sprintf("%s: %s is a package variable and changes", s.at(id), id.Name))
				}
			}
			return true
		})
	}
	return complaints
}

func embedded(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool {
			return strings.HasPrefix(c.Text, "//go:embed ")
		}) {
			return true
		}
	}
	return false
}

// written lists what a statement writes to, or hands out for others to write to.
func written(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return slices.DeleteFunc([]ast.Expr{n.Key, n.Value},
				func(e ast.Expr) bool { return e == nil })
		}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") {
			return n.Args[:1]
		}
	}
	return nil
}

// rootOf is the variable in which x lies, or nil.
func rootOf(x ast.Expr) *ast.Ident {
	for {
		switch e := x.(type) {
		case *ast.Ident:
			return e
		case *ast.IndexExpr:
			x = e.X
		case *ast.SelectorExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		case *ast.StarExpr:
			x = e.X
		default:
			return nil
		}
	}
}

func TestTheRulesOfSourcesCanFail(t *testing.T) {
	dir := t.TempDir()
	const bad = `package bad

import "os"

var table = map[string]int{"a": 1}
var hidden struct{ n int }
var fine = []int{1}

func init() {}
func Exported() { table["b"] = 2; hidden.n++; table := 1; table = 2; _ = fine[table]; os.Exit(1) }
`
	if err := os.WriteFile(filepath.Join(dir, "bad.go"), []byte(bad), 0o644); err != nil {
		t.Fatal(err)
	}
	s := parse(t, pkg{ImportPath: module + "bad", Dir: dir, Name: "bad", GoFiles: []string{"bad.go"}})
	want := []string{
		"bad/bad.go:6: hidden has no first value",
		"bad/bad.go:10: table is a package variable and changes",
		"bad/bad.go:10: hidden is a package variable and changes",
	}
	if d := cmp.Diff(s.mutable(), want); d != "" {
		t.Errorf("package variables (-got +want)\n%s", d)
	}
	calls := map[string]bool{}
	s.selectors(func(sel *ast.SelectorExpr, imported string) {
		calls[imported+"."+sel.Sel.Name] = true
	})
	if d := cmp.Diff(slices.Collect(maps.Keys(calls)), []string{"os.Exit"}); d != "" {
		t.Errorf("calls (-got +want)\n%s", d)
	}
	var names []string
	for _, d := range s.files[0].Decls {
		for _, id := range unexplained(d) {
			names = append(names, id.Name)
		}
	}
	if d := cmp.Diff(names, []string{"Exported"}); d != "" {
		t.Errorf("unexplained (-got +want)\n%s", d)
	}
}
