package py

import (
	"fmt"
	"math"
	"math/big"
	"sort"
	"strings"
)

// Env is what programs run in: one after the other, the later ones see the
// variables of the earlier ones.
type Env struct {
	// Lookup gives names that no program has assigned, such as tcpi_state.
	Lookup func(name string) (int64, bool)
	// Out has what was printed.
	Out strings.Builder

	vars  map[string]any
	steps int
}

// Bounds of a program.
const (
	maxSteps  = 1 << 20
	maxBits   = 4096
	maxString = 1 << 16
	maxOut    = 1 << 20
)

// list is a list or a tuple. There are no cycles, for nothing changes a list,
// and size, with all that it contains, is bounded.
type list struct {
	items []any
	tuple bool
	size  int
}

// made returns l with its size known.
func made(pos Pos, l *list) (any, error) {
	for _, it := range l.items {
		l.size++
		switch it := it.(type) {
		case *list:
			l.size += it.size
		case string:
			l.size += len(it) / 16
		}
		if l.size > maxString {
			return nil, &RuntimeError{pos, "the value is too large"}
		}
	}
	return l, nil
}

// flow says how a statement ended.
type flow uint8

const (
	flowNext flow = iota
	flowBreak
	flowContinue
)

// Run runs the program.
func (p *Program) Run(e *Env) error {
	if e.vars == nil {
		e.vars = map[string]any{}
	}
	e.steps = 0
	_, err := e.block(p.body)
	return err
}

func (e *Env) step(pos Pos) error {
	if e.steps++; e.steps > maxSteps {
		return &RuntimeError{pos, "the program takes too long"}
	}
	return nil
}

func (e *Env) block(body []stmt) (flow, error) {
	for i := range body {
		f, err := e.stmt(&body[i])
		if err != nil || f != flowNext {
			return f, err
		}
	}
	return flowNext, nil
}

func (e *Env) stmt(s *stmt) (flow, error) {
	if err := e.step(s.pos); err != nil {
		return 0, err
	}
	switch s.run {
	case "pass":
	case "break":
		return flowBreak, nil
	case "continue":
		return flowContinue, nil
	case "expr":
		_, err := e.eval(s.x)
		return 0, err
	case "assert":
		v, err := e.eval(s.x)
		if err != nil || truth(v) {
			return 0, err
		}
		a := &AssertionError{Pos: s.pos, Expr: s.text, Values: e.values(s.x)}
		if s.y != nil {
			m, err := e.eval(s.y)
			if err != nil {
				return 0, err
			}
			a.Message = toString(m)
		}
		return 0, a
	case "assign":
		v, err := e.eval(s.x)
		if err != nil {
			return 0, err
		}
		return 0, e.assign(s, v)
	case "aug":
		v, err := e.eval(&expr{pos: s.pos, kind: "binary", name: s.op, args: []*expr{{pos: s.pos, kind: "name", name: s.dst[0]}, s.x}})
		if err != nil {
			return 0, err
		}
		e.vars[s.dst[0]] = v
	case "if":
		v, err := e.eval(s.x)
		if err != nil {
			return 0, err
		}
		if truth(v) {
			return e.block(s.body)
		}
		return e.block(s.rest)
	case "while":
		for {
			v, err := e.eval(s.x)
			if err != nil {
				return 0, err
			}
			if !truth(v) {
				return e.block(s.rest)
			}
			f, err := e.block(s.body)
			if err != nil {
				return 0, err
			}
			if f == flowBreak {
				return 0, nil
			}
			if err := e.step(s.pos); err != nil {
				return 0, err
			}
		}
	case "for":
		v, err := e.eval(s.x)
		if err != nil {
			return 0, err
		}
		items, ok := sequence(v)
		if !ok {
			return 0, &RuntimeError{s.pos, typeName(v) + " is not iterable"}
		}
		for _, it := range items {
			if err := e.assign(s, it); err != nil {
				return 0, err
			}
			f, err := e.block(s.body)
			if err != nil {
				return 0, err
			}
			if f == flowBreak {
				break
			}
			if err := e.step(s.pos); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

func (e *Env) assign(s *stmt, v any) error {
	if !s.many {
		e.vars[s.dst[0]] = v
		return nil
	}
	items, ok := sequence(v)
	if !ok || len(items) != len(s.dst) {
		return &RuntimeError{s.pos, fmt.Sprintf("cannot unpack %s into %d names", typeName(v), len(s.dst))}
	}
	for i, n := range s.dst {
		e.vars[n] = items[i]
	}
	return nil
}

// values tells the names in an expression and what they are.
func (e *Env) values(x *expr) string {
	seen := map[string]bool{}
	var parts []string
	var walk func(x *expr)
	walk = func(x *expr) {
		if x.kind == "name" && !seen[x.name] && len(parts) < 20 {
			seen[x.name] = true
			if v, err := e.eval(x); err == nil {
				parts = append(parts, x.name+" = "+repr(v))
			}
		}
		for _, a := range x.args {
			walk(a)
		}
	}
	walk(x)
	return strings.Join(parts, ", ")
}

func (e *Env) eval(x *expr) (any, error) {
	if err := e.step(x.pos); err != nil {
		return nil, err
	}
	switch x.kind {
	case "const":
		return x.val, nil
	case "name":
		if v, ok := e.vars[x.name]; ok {
			return v, nil
		}
		if e.Lookup != nil {
			if n, ok := e.Lookup(x.name); ok {
				return big.NewInt(n), nil
			}
		}
		if strings.HasPrefix(x.name, "tcpi_") || strings.HasPrefix(x.name, "TCP") || strings.HasPrefix(x.name, "SK_") ||
			strings.HasPrefix(x.name, "bbr_") || strings.HasPrefix(x.name, "dctcp_") || strings.HasPrefix(x.name, "tcpv_") {
			return nil, &Unsupported{x.pos, "the value " + x.name}
		}
		return nil, &RuntimeError{x.pos, "name '" + x.name + "' is not defined"}
	case "tuple", "list":
		l := &list{tuple: x.kind == "tuple"}
		for _, a := range x.args {
			v, err := e.eval(a)
			if err != nil {
				return nil, err
			}
			l.items = append(l.items, v)
		}
		return made(x.pos, l)
	case "not":
		v, err := e.eval(x.args[0])
		return !truth(v), err
	case "and", "or":
		v, err := e.eval(x.args[0])
		if err != nil || truth(v) == (x.kind == "or") {
			return v, err
		}
		return e.eval(x.args[1])
	case "ifelse":
		c, err := e.eval(x.args[0])
		if err != nil {
			return nil, err
		}
		if truth(c) {
			return e.eval(x.args[1])
		}
		return e.eval(x.args[2])
	case "fstring":
		var b strings.Builder
		b.WriteString(x.lits[0])
		for i, a := range x.args {
			v, err := e.eval(a)
			if err != nil {
				return nil, err
			}
			s, err := format(x.pos, v, x.spec[i])
			if err != nil {
				return nil, err
			}
			b.WriteString(s + x.lits[i+1])
			if b.Len() > maxString {
				return nil, &RuntimeError{x.pos, "the string is too long"}
			}
		}
		return b.String(), nil
	case "unary":
		v, err := e.eval(x.args[0])
		if err != nil {
			return nil, err
		}
		switch n := num(v).(type) {
		case *big.Int:
			switch x.name {
			case "-":
				return new(big.Int).Neg(n), nil
			case "~":
				return new(big.Int).Not(n), nil
			}
			return n, nil
		case float64:
			if x.name == "-" {
				return -n, nil
			}
			if x.name == "+" {
				return n, nil
			}
		}
		return nil, &RuntimeError{x.pos, "bad operand type for unary " + x.name + ": " + typeName(v)}
	case "compare":
		l, err := e.eval(x.args[0])
		if err != nil {
			return nil, err
		}
		for i, op := range x.ops {
			r, err := e.eval(x.args[i+1])
			if err != nil {
				return nil, err
			}
			ok, err := compare(x.pos, op, l, r)
			if err != nil || !ok {
				return false, err
			}
			l = r
		}
		return true, nil
	case "index":
		v, err := e.eval(x.args[0])
		if err != nil {
			return nil, err
		}
		i, err := e.eval(x.args[1])
		if err != nil {
			return nil, err
		}
		items, ok := sequence(v)
		n, isInt := num(i).(*big.Int)
		if !ok || !isInt {
			return nil, &RuntimeError{x.pos, typeName(v) + " cannot be indexed by " + typeName(i)}
		}
		k := int64(len(items)) + 1
		if n.IsInt64() {
			k = n.Int64()
		}
		if k < 0 {
			k += int64(len(items))
		}
		if k < 0 || k >= int64(len(items)) {
			return nil, &RuntimeError{x.pos, "index out of range"}
		}
		return items[k], nil
	case "binary":
		l, err := e.eval(x.args[0])
		if err != nil {
			return nil, err
		}
		r, err := e.eval(x.args[1])
		if err != nil {
			return nil, err
		}
		return binary(x.pos, x.name, l, r)
	case "call":
		var args []any
		for _, a := range x.args {
			v, err := e.eval(a)
			if err != nil {
				return nil, err
			}
			args = append(args, v)
		}
		return e.call(x, args)
	}
	return nil, &Unsupported{x.pos, x.kind}
}

func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case *big.Int:
		return v.Sign() != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *list:
		return len(v.items) > 0
	}
	return true
}

// num makes a number of a bool.
func num(v any) any {
	if b, ok := v.(bool); ok {
		if b {
			return big.NewInt(1)
		}
		return big.NewInt(0)
	}
	return v
}

func float(v any) (float64, bool) {
	switch n := num(v).(type) {
	case *big.Int:
		f, _ := new(big.Float).SetInt(n).Float64()
		return f, true
	case float64:
		return n, true
	}
	return 0, false
}

func sequence(v any) ([]any, bool) {
	switch v := v.(type) {
	case *list:
		return v.items, true
	case string:
		var out []any
		for _, r := range v {
			out = append(out, string(r))
		}
		return out, true
	}
	return nil, false
}

func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case *big.Int:
		return "an int"
	case float64:
		return "a float"
	case string:
		return "a str"
	case *list:
		if v.tuple {
			return "a tuple"
		}
		return "a list"
	}
	return "a value"
}

// order compares two values, if they have an order.
func order(a, b any) (int, bool) {
	a, b = num(a), num(b)
	if x, ok := a.(*big.Int); ok {
		if y, ok := b.(*big.Int); ok {
			return x.Cmp(y), true
		}
	}
	if x, ok := a.(string); ok {
		y, ok := b.(string)
		return strings.Compare(x, y), ok
	}
	if x, ok := a.(*list); ok {
		y, ok := b.(*list)
		if !ok || x.tuple != y.tuple {
			return 0, false
		}
		for i := 0; i < len(x.items) && i < len(y.items); i++ {
			if equal(x.items[i], y.items[i]) {
				continue
			}
			return order(x.items[i], y.items[i])
		}
		return len(x.items) - len(y.items), true
	}
	x, ok1 := float(a)
	y, ok2 := float(b)
	if !ok1 || !ok2 || math.IsNaN(x) || math.IsNaN(y) {
		return 0, false
	}
	switch {
	case x < y:
		return -1, true
	case x > y:
		return 1, true
	}
	return 0, true
}

func equal(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	if x, ok := a.(*list); ok {
		y, ok := b.(*list)
		if !ok || x.tuple != y.tuple || len(x.items) != len(y.items) {
			return false
		}
		for i := range x.items {
			if !equal(x.items[i], y.items[i]) {
				return false
			}
		}
		return true
	}
	c, ok := order(a, b)
	return ok && c == 0
}

func compare(pos Pos, op string, l, r any) (bool, error) {
	switch op {
	case "==":
		return equal(l, r), nil
	case "!=":
		return !equal(l, r), nil
	case "is", "is not":
		same := equal(l, r) && typeName(l) == typeName(r)
		return same == (op == "is"), nil
	case "in", "not in":
		if s, ok := r.(string); ok {
			sub, ok := l.(string)
			if !ok {
				return false, &RuntimeError{pos, "'in <string>' requires a string on the left"}
			}
			return strings.Contains(s, sub) == (op == "in"), nil
		}
		items, ok := sequence(r)
		if !ok {
			return false, &RuntimeError{pos, typeName(r) + " is not iterable"}
		}
		found := false
		for _, it := range items {
			found = found || equal(l, it)
		}
		return found == (op == "in"), nil
	}
	c, ok := order(l, r)
	if !ok {
		return false, &RuntimeError{pos, fmt.Sprintf("'%s' is not supported between %s and %s", op, typeName(l), typeName(r))}
	}
	switch op {
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	}
	return c >= 0, nil
}

func binary(pos Pos, op string, l, r any) (any, error) {
	if s, ok := l.(string); ok {
		switch op {
		case "%":
			return percent(pos, s, r)
		case "+":
			if t, ok := r.(string); ok {
				if len(s)+len(t) > maxString {
					return nil, &RuntimeError{pos, "the string is too long"}
				}
				return s + t, nil
			}
		case "*":
			if n, ok := num(r).(*big.Int); ok {
				if !n.IsInt64() || n.Int64()*int64(len(s)) > maxString || n.Int64() > maxString {
					return nil, &RuntimeError{pos, "the string is too long"}
				}
				return strings.Repeat(s, int(max(n.Int64(), 0))), nil
			}
		}
	}
	if a, ok := l.(*list); ok && op == "+" {
		if b, ok := r.(*list); ok && a.tuple == b.tuple && len(a.items)+len(b.items) < maxString {
			return made(pos, &list{items: append(append([]any{}, a.items...), b.items...), tuple: a.tuple})
		}
	}
	x, ok1 := num(l).(*big.Int)
	y, ok2 := num(r).(*big.Int)
	if ok1 && ok2 {
		return integers(pos, op, x, y)
	}
	a, ok1 := float(l)
	b, ok2 := float(r)
	if ok1 && ok2 {
		switch op {
		case "+":
			return a + b, nil
		case "-":
			return a - b, nil
		case "*":
			return a * b, nil
		case "**":
			return math.Pow(a, b), nil
		case "/", "//", "%":
			if b == 0 {
				return nil, &RuntimeError{pos, "division by zero"}
			}
			switch op {
			case "/":
				return a / b, nil
			case "//":
				return math.Floor(a / b), nil
			}
			return a - b*math.Floor(a/b), nil
		}
	}
	return nil, &RuntimeError{pos, fmt.Sprintf("unsupported operand types for %s: %s and %s", op, typeName(l), typeName(r))}
}

func integers(pos Pos, op string, x, y *big.Int) (any, error) {
	z := new(big.Int)
	switch op {
	case "+":
		z.Add(x, y)
	case "-":
		z.Sub(x, y)
	case "*":
		z.Mul(x, y)
	case "&":
		z.And(x, y)
	case "|":
		z.Or(x, y)
	case "^":
		z.Xor(x, y)
	case "<<", ">>", "**":
		if !y.IsInt64() || y.Int64() < 0 || y.Int64() > maxBits {
			if op == "**" && y.Sign() < 0 {
				a, _ := float(x)
				b, _ := float(y)
				return math.Pow(a, b), nil
			}
			return nil, &RuntimeError{pos, "the operand of " + op + " is out of range"}
		}
		switch n := uint(y.Int64()); op {
		case "<<":
			z.Lsh(x, n)
		case ">>":
			z.Rsh(x, n)
		default:
			if x.BitLen()*int(n) > maxBits {
				return nil, &RuntimeError{pos, "the number is too large"}
			}
			z.Exp(x, y, nil)
		}
	case "/", "//", "%":
		if y.Sign() == 0 {
			return nil, &RuntimeError{pos, "division by zero"}
		}
		if op == "/" {
			a, _ := float(x)
			b, _ := float(y)
			return a / b, nil
		}
		q, m := new(big.Int).QuoRem(x, y, new(big.Int))
		if m.Sign() != 0 && (m.Sign() < 0) != (y.Sign() < 0) { // Python rounds down
			q.Sub(q, big.NewInt(1))
			m.Add(m, y)
		}
		if op == "//" {
			z = q
		} else {
			z = m
		}
	}
	if z.BitLen() > maxBits {
		return nil, &RuntimeError{pos, "the number is too large"}
	}
	return z, nil
}

func (e *Env) call(x *expr, args []any) (any, error) {
	bad := func(format string, a ...any) (any, error) {
		return nil, &RuntimeError{x.pos, x.name + "(): " + fmt.Sprintf(format, a...)}
	}
	one := func() bool { return len(args) == 1 }
	switch x.name {
	case "print":
		var parts []string
		for _, a := range args {
			parts = append(parts, toString(a))
		}
		if e.Out.Len() < maxOut {
			e.Out.WriteString(strings.Join(parts, " ") + "\n")
		}
		return nil, nil
	case "abs":
		if one() {
			switch n := num(args[0]).(type) {
			case *big.Int:
				return new(big.Int).Abs(n), nil
			case float64:
				return math.Abs(n), nil
			}
		}
	case "min", "max", "sum", "sorted", "len", "any", "all":
		items := args
		if one() {
			var ok bool
			if items, ok = sequence(args[0]); !ok {
				return bad("%s is not iterable", typeName(args[0]))
			}
		} else if x.name != "min" && x.name != "max" {
			return bad("expected one argument")
		}
		return e.fold(x, items)
	case "int":
		if one() {
			switch n := num(args[0]).(type) {
			case *big.Int:
				return n, nil
			case float64:
				if !math.IsInf(n, 0) && !math.IsNaN(n) {
					z, _ := big.NewFloat(n).Int(nil)
					return z, nil
				}
			case string:
				if z, ok := new(big.Int).SetString(strings.TrimSpace(n), 10); ok && len(n) < 100 {
					return z, nil
				}
			}
		}
	case "float":
		if one() {
			if f, ok := float(args[0]); ok {
				return f, nil
			}
		}
	case "round":
		if f, ok := float(first(args)); ok && len(args) >= 1 && len(args) <= 2 {
			if len(args) == 2 {
				if n, ok := num(args[1]).(*big.Int); ok && n.IsInt64() && n.Int64() >= 0 && n.Int64() < 16 {
					p := math.Pow(10, float64(n.Int64()))
					return math.RoundToEven(f*p) / p, nil
				}
				return bad("bad number of digits")
			}
			z, _ := big.NewFloat(math.RoundToEven(f)).Int(nil)
			return z, nil
		}
	case "str", "repr":
		if one() {
			if x.name == "repr" {
				return repr(args[0]), nil
			}
			return toString(args[0]), nil
		}
	case "bool":
		if one() {
			return truth(args[0]), nil
		}
	case "hex":
		if n, ok := num(first(args)).(*big.Int); ok && one() {
			if n.Sign() < 0 {
				return "-0x" + new(big.Int).Neg(n).Text(16), nil
			}
			return "0x" + n.Text(16), nil
		}
	case "list", "tuple":
		if one() {
			if items, ok := sequence(args[0]); ok {
				return made(x.pos, &list{items: append([]any{}, items...), tuple: x.name == "tuple"})
			}
		}
	case "range":
		return rangeOf(x, args)
	default:
		return nil, &Unsupported{x.pos, "the function " + x.name}
	}
	return bad("these arguments are not taken")
}

func first(args []any) any {
	if len(args) > 0 {
		return args[0]
	}
	return nil
}

func (e *Env) fold(x *expr, items []any) (any, error) {
	switch x.name {
	case "len":
		return big.NewInt(int64(len(items))), nil
	case "any", "all":
		for _, it := range items {
			if truth(it) == (x.name == "any") {
				return x.name == "any", nil
			}
		}
		return x.name == "all", nil
	case "sum":
		var total any = big.NewInt(0)
		for _, it := range items {
			var err error
			if total, err = binary(x.pos, "+", total, it); err != nil {
				return nil, err
			}
		}
		return total, nil
	case "sorted":
		out := &list{items: append([]any{}, items...)}
		ok := true
		sort.SliceStable(out.items, func(i, j int) bool {
			c, fine := order(out.items[i], out.items[j])
			ok = ok && fine
			return c < 0
		})
		if !ok {
			return nil, &RuntimeError{x.pos, "sorted(): these values have no order"}
		}
		return made(x.pos, out)
	}
	if len(items) == 0 {
		return nil, &RuntimeError{x.pos, x.name + "() of nothing"}
	}
	best := items[0]
	for _, it := range items[1:] {
		c, ok := order(it, best)
		if !ok {
			return nil, &RuntimeError{x.pos, x.name + "(): these values have no order"}
		}
		if c < 0 == (x.name == "min") && c != 0 {
			best = it
		}
	}
	return best, nil
}

func rangeOf(x *expr, args []any) (any, error) {
	var n [3]int64
	for i, a := range args {
		b, ok := num(a).(*big.Int)
		if !ok || !b.IsInt64() || i >= 3 {
			return nil, &RuntimeError{x.pos, "range(): these arguments are not taken"}
		}
		n[i] = b.Int64()
	}
	start, stop, step := n[0], n[1], n[2]
	switch len(args) {
	case 1:
		start, stop, step = 0, n[0], 1
	case 2:
		step = 1
	case 3:
	default:
		return nil, &RuntimeError{x.pos, "range(): these arguments are not taken"}
	}
	if step == 0 {
		return nil, &RuntimeError{x.pos, "range(): the step is zero"}
	}
	l := &list{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(l.items) >= maxString {
			return nil, &RuntimeError{x.pos, "range(): more than 65536 numbers"}
		}
		l.items = append(l.items, big.NewInt(i))
	}
	return made(x.pos, l)
}

func toString(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return repr(v)
}

func repr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case *big.Int:
		return v.String()
	case float64:
		s := fmt.Sprintf("%.17g", v)
		for p := 1; p < 17; p++ {
			var back float64
			t := fmt.Sprintf("%.*g", p, v)
			if fmt.Sscan(t, &back); back == v {
				s = t
				break
			}
		}
		if !strings.ContainsAny(s, ".enI") {
			s += ".0"
		}
		return s
	case string:
		return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`).Replace(v) + "'"
	case *list:
		var parts []string
		for i, it := range v.items {
			if i > 1000 {
				parts = append(parts, "...")
				break
			}
			parts = append(parts, repr(it))
		}
		s := strings.Join(parts, ", ")
		if !v.tuple {
			return "[" + s + "]"
		}
		if len(v.items) == 1 {
			s += ","
		}
		return "(" + s + ")"
	}
	return "?"
}

// percent is the operator % of a string.
func percent(pos Pos, s string, r any) (any, error) {
	args := []any{r}
	if l, ok := r.(*list); ok && l.tuple {
		args = l.items
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		j := i + 1
		for j < len(s) && strings.IndexByte("0123456789.-+ #l", s[j]) >= 0 {
			j++
		}
		if j == len(s) {
			return nil, &RuntimeError{pos, "incomplete format"}
		}
		if s[j] == '%' {
			b.WriteByte('%')
			i = j
			continue
		}
		if len(args) == 0 {
			return nil, &RuntimeError{pos, "not enough arguments for format string"}
		}
		verb := string(s[j])
		if verb == "i" || verb == "u" {
			verb = "d"
		}
		out, err := format(pos, args[0], strings.ReplaceAll(s[i+1:j], "l", "")+verb)
		if err != nil {
			return nil, err
		}
		b.WriteString(out)
		args = args[1:]
		i = j
		if b.Len() > maxString {
			return nil, &RuntimeError{pos, "the string is too long"}
		}
	}
	if len(args) > 0 {
		return nil, &RuntimeError{pos, "not all arguments converted during string formatting"}
	}
	return b.String(), nil
}

// format formats a value as "%spec" does.
func format(pos Pos, v any, spec string) (string, error) {
	if spec == "" {
		return toString(v), nil
	}
	verb := spec[len(spec)-1]
	flags := spec[:len(spec)-1]
	if isDigit(verb) {
		flags, verb = spec, 's'
		if _, ok := v.(float64); ok {
			verb = 'g'
		}
	}
	width := 0
	for _, f := range strings.FieldsFunc(flags, func(r rune) bool { return r < '0' || r > '9' }) {
		fmt.Sscan(f, &width)
		if len(f) > 4 || width > 1000 {
			return "", &RuntimeError{pos, "the width of a format is too large"}
		}
	}
	if strings.Trim(flags, "0123456789.-+ #") != "" {
		return "", &Unsupported{pos, "the format " + spec}
	}
	switch verb {
	case 's':
		return fmt.Sprintf("%"+flags+"s", toString(v)), nil
	case 'r':
		return fmt.Sprintf("%"+flags+"s", repr(v)), nil
	case 'd', 'x', 'X', 'o':
		n := num(v)
		if f, ok := n.(float64); ok && !math.IsInf(f, 0) && !math.IsNaN(f) {
			z, _ := big.NewFloat(f).Int(nil)
			n = z
		}
		if z, ok := n.(*big.Int); ok {
			return fmt.Sprintf("%"+flags+string(verb), z), nil
		}
	case 'f', 'e', 'g', 'F', 'G', 'E':
		if f, ok := float(v); ok {
			return fmt.Sprintf("%"+flags+string(verb), f), nil
		}
	default:
		return "", &Unsupported{pos, "the format " + spec}
	}
	return "", &RuntimeError{pos, "the format %" + string(verb) + " does not take " + typeName(v)}
}
