package script

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// genExpr draws an expression as the parser may build it. What stands between
// brackets may be anything; names are those that mean something to the parser, too.
func genExpr(t *rapid.T, depth int) Expr {
	kinds := []string{"int", "hex", "name", "str", "dots"}
	if depth > 0 {
		kinds = append(kinds, "binary", "unary", "list", "braces", "struct", "call")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "int":
		return Int{Value: rapid.Int64().Draw(t, "n")}
	case "hex":
		return Int{Value: rapid.Int64().Draw(t, "n"), Hex: true}
	case "name":
		return Name{Name: genName(t)}
	case "str":
		return Str{Value: string(rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, "s")), Partial: rapid.Bool().Draw(t, "partial")}
	case "binary":
		op := rapid.SampledFrom([]string{"|", "&", "^", "+", "-", "*", "<<", ">>"}).Draw(t, "op")
		return &Binary{Op: op, Left: genExpr(t, depth-1), Right: genExpr(t, depth-1)}
	case "unary":
		x := genExpr(t, depth-1)
		op := rapid.SampledFrom([]string{"~", "-"}).Draw(t, "op")
		return &Unary{Op: op, X: x}
	case "list":
		return &List{Items: genExprs(t, depth)}
	case "braces":
		return &List{Braces: true, Items: genExprs(t, depth)}
	case "call":
		return &Call{Name: genName(t), Args: genExprs(t, depth)}
	case "struct":
		s := &Struct{}
		for range rapid.IntRange(1, 3).Draw(t, "fields") {
			f := Field{Name: genName(t), Value: genExpr(t, depth-1)}
			if rapid.Bool().Draw(t, "with argument") {
				f.Arg = genExpr(t, depth-1)
			}
			s.Fields = append(s.Fields, f)
		}
		return s
	}
	return Ellipsis{}
}

func genExprs(t *rapid.T, depth int) (xs []Expr) {
	for range rapid.IntRange(0, 3).Draw(t, "items") {
		xs = append(xs, genExpr(t, depth-1))
	}
	return xs
}

func genName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"A", "B2", "label", "flags", "Flags", "mpls", "gre", "htons", "NULL", "msg_iov", "x_1"}).Draw(t, "name")
}

// unplaced returns what an expression says, without where it stands.
func unplaced(x Expr) string {
	switch x := x.(type) {
	case *Binary:
		return fmt.Sprintf("(%s %s %s)", unplaced(x.Left), x.Op, unplaced(x.Right))
	case *Unary:
		return fmt.Sprintf("(%s %s)", x.Op, unplaced(x.X))
	case *List:
		return fmt.Sprintf("list%v[%s]", x.Braces, unplacedAll(x.Items))
	case *Call:
		return fmt.Sprintf("call %s[%s]", x.Name, unplacedAll(x.Args))
	case *Struct:
		s := "struct["
		for _, f := range x.Fields {
			s += f.Name
			if f.Arg != nil {
				s += "(" + unplaced(f.Arg) + ")"
			}
			s += ":" + unplaced(f.Value) + ";"
		}
		return s + "]"
	}
	return fmt.Sprintf("%T %s", x, ExprText(x))
}

func unplacedAll(xs []Expr) (s string) {
	for _, x := range xs {
		s += unplaced(x) + ";"
	}
	return s
}

// TestExprTextRoundTrip: an expression is printed as what is read as the same.
func TestExprTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := genExpr(t, 4)
		src := fmt.Sprintf("0 f([%s]) = 0\n", ExprText(x))
		s, err := Parse("t.pkt", src, Config{OS: "none"})
		if err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
		if again := s.Text(); again != src {
			t.Fatalf("printed\n%sthen\n%s", src, again)
		}
		read := s.Events[0].Action.(*Syscall).Args[0].(*List).Items[0]
		if want, got := unplaced(x), unplaced(read); got != want {
			t.Fatalf("%s is read as\n%s, not\n%s", src, got, want)
		}
	})
}
