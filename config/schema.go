package config

import (
	"encoding"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
)

// field describes one key. The tree of fields is derived from the types and
// tags of Config, so that it cannot disagree with them.
type field struct {
	name     string
	doc      string
	def      string // default, as text
	min, max string // limits, as text
	oneof    []string
	required bool
	isName   bool         // the name of a list item
	typ      reflect.Type // of the value; of the item for a list
	list     bool
	optional bool     // a block that is absent unless given
	fields   []*field // of a block, or of a list's items
}

var (
	root            = &field{typ: reflect.TypeFor[Config](), fields: fieldsOf(reflect.TypeFor[Config]())}
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func fieldsOf(t reflect.Type) []*field {
	var fs []*field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag := sf.Tag.Get("mapstructure")
		if tag == ",squash" {
			fs = append(fs, fieldsOf(sf.Type)...)
			continue
		}
		if !sf.IsExported() {
			continue
		}
		f := &field{name: tag, doc: sf.Tag.Get("doc"), def: sf.Tag.Get("default"),
			min: sf.Tag.Get("min"), max: sf.Tag.Get("max"), required: sf.Tag.Get("required") != "",
			isName: sf.Tag.Get("name") != "", typ: sf.Type}
		if s := sf.Tag.Get("oneof"); s != "" {
			f.oneof = strings.Split(s, "|")
		}
		if f.typ.Kind() == reflect.Pointer {
			f.optional, f.typ = true, f.typ.Elem()
		}
		if f.typ.Kind() == reflect.Slice {
			f.list, f.typ = true, f.typ.Elem()
		}
		if f.typ.Kind() == reflect.Struct && !reflect.PointerTo(f.typ).Implements(textUnmarshaler) {
			f.fields = fieldsOf(f.typ)
		}
		fs = append(fs, f)
	}
	return fs
}

func (f *field) child(name string) *field {
	for _, c := range f.fields {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (f *field) names() []string {
	s := make([]string, len(f.fields))
	for i, c := range f.fields {
		s[i] = c.name
	}
	return s
}

// parse checks the text of a scalar and returns what viper is to be given: the
// text itself for types that parse text, otherwise the value.
func (f *field) parse(text string) (any, error) {
	v := reflect.New(f.typ)
	if u, ok := v.Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return nil, tidy(err)
		}
		return text, f.inRange(v.Elem(), text)
	}
	switch f.typ.Kind() {
	case reflect.String:
		if f.oneof != nil && !contains(f.oneof, text) {
			return nil, fmt.Errorf("%q is unknown%s", text, suggest(text, f.oneof))
		}
		return text, nil
	case reflect.Bool:
		switch text {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", text)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
		if f.oneof != nil && !contains(f.oneof, text) {
			return nil, fmt.Errorf("%s is not supported; this release reads %s", text, strings.Join(f.oneof, ", "))
		}
		v.Elem().SetInt(int64(n))
		return n, f.inRange(v.Elem(), text)
	case reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number from 0 to 18446744073709551615", text)
		}
		return n, nil
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || x != x {
			return nil, fmt.Errorf("%q is not a number", text)
		}
		v.Elem().SetFloat(x)
		return x, f.inRange(v.Elem(), text)
	}
	panic("BUG: config key of unknown kind: " + f.name)
}

// inRange checks v, whose text is given, against the limits.
func (f *field) inRange(v reflect.Value, text string) error {
	less := func(a, b reflect.Value) bool {
		if a.CanInt() {
			return a.Int() < b.Int()
		}
		return a.Float() < b.Float()
	}
	for _, limit := range []struct {
		text, word string
		below      bool
	}{{f.min, "least", true}, {f.max, "most", false}} {
		if limit.text == "" {
			continue
		}
		l := f.value(limit.text)
		if limit.below && less(v, l) || !limit.below && less(l, v) {
			return fmt.Errorf("%s is out of range; the %s is %s", text, limit.word, limit.text)
		}
	}
	return nil
}

// value parses a text from a tag.
func (f *field) value(text string) reflect.Value {
	v := reflect.New(f.typ)
	if u, ok := v.Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			panic("BUG: config tag: " + err.Error())
		}
		return v.Elem()
	}
	var err error
	switch f.typ.Kind() {
	case reflect.Int:
		var n int64
		n, err = strconv.ParseInt(text, 10, 64)
		v.Elem().SetInt(n)
	case reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(text, 64)
		v.Elem().SetFloat(x)
	default:
		panic("BUG: config tag on key " + f.name)
	}
	if err != nil {
		panic("BUG: config tag: " + err.Error())
	}
	return v.Elem()
}

// tidy words the errors of types that are not ours.
func tidy(err error) error {
	s := err.Error()
	if i := strings.Index(s, "ParseAddr("); i >= 0 {
		s = s[i+len("ParseAddr"):]
		s = "not an IP address: " + s
		return fmt.Errorf("%s", s)
	}
	if i := strings.Index(s, "slog: level string "); i >= 0 {
		return fmt.Errorf("unknown level %s; valid: debug, info, warn, error", strings.SplitN(s[i+len("slog: level string "):], ":", 2)[0])
	}
	return err
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// kind names the type in words.
func (f *field) kind() string {
	s := "text"
	switch f.typ {
	case reflect.TypeFor[Duration]():
		s = "duration"
	case reflect.TypeFor[Size]():
		s = "size"
	case reflect.TypeFor[Rate]():
		s = "rate"
	case reflect.TypeFor[Percent]():
		s = "percentage"
	case reflect.TypeFor[slog.Level]():
		s = "debug \\| info \\| warn \\| error"
	case reflect.TypeFor[Mode]():
		s = "file mode"
	case reflect.TypeFor[Endpoint]():
		s = "port or address:port"
	case reflect.TypeFor[AddrPort]():
		s = "address:port"
	case reflect.TypeFor[MAC]():
		s = "Ethernet address"
	case reflect.TypeFor[Prefix]():
		s = "address/length"
	default:
		switch {
		case f.fields != nil:
			s = "block"
		case f.typ.PkgPath() == "net/netip":
			s = "address"
		case f.typ.Kind() == reflect.Bool:
			s = "true or false"
		case f.typ.Kind() == reflect.Int, f.typ.Kind() == reflect.Uint64, f.typ.Kind() == reflect.Float64:
			if f.typ.PkgPath() == "" {
				s = "number"
			}
		}
	}
	if f.list {
		s = "list of " + s + "s"
		s = strings.NewReplacer("address:ports", "address:port", "texts", "names", "address/lengths", "address/length", "addresss", "addresses").Replace(s)
	}
	if f.oneof != nil {
		s = strings.Join(f.oneof, " \\| ")
	}
	return s
}

// A Key describes one key of the configuration file.
type Key struct {
	Path    string // "stacks[].buffers.send"
	Type    string // in words
	Default string // as it would be written, or empty
	Range   string // in words, or empty
	Doc     string
}

// Keys returns every key, in the order of the schema.
func Keys() []Key { return keysOf(root) }

func keysOf(root *field) []Key {
	var keys []Key
	var walk func(prefix string, f *field)
	walk = func(prefix string, f *field) {
		for _, c := range f.fields {
			k := Key{Path: prefix + c.name, Type: c.kind(), Default: c.def, Doc: c.doc}
			switch {
			case c.required:
				k.Range = "required"
			case c.min != "" && c.max != "":
				k.Range = c.min + " to " + c.max
			case c.min != "":
				k.Range = "at least " + c.min
			case c.max != "":
				k.Range = "at most " + c.max
			}
			keys = append(keys, k)
			if c.fields != nil {
				p := prefix + c.name
				if c.list {
					p += "[]"
				}
				walk(p+".", c)
			}
		}
	}
	walk("", root)
	return keys
}

// Summary returns type, range and default in one line.
func (k *Key) Summary() string {
	s := strings.ReplaceAll(k.Type, " \\| ", " | ")
	if k.Range != "" {
		s += ", " + k.Range
	}
	if k.Default != "" {
		s += ", default " + k.Default
	}
	return s
}
