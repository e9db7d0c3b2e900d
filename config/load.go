package config

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// maxFile bounds the size of a configuration file.
const maxFile = 1 << 20

// Options say where a configuration comes from.
type Options struct {
	// File is the path of the YAML file. Without it, Data is taken, under the
	// name Name.
	File string
	Name string
	Data []byte

	// Environ is the environment, as os.Environ returns it. Variables that
	// begin with SLUICE_ set keys; an unknown one is an error.
	Environ []string

	// Set has what flags say. It has the last word.
	Set []Assignment

	// Backends are the valid names of backends; nil means DefaultBackends().
	Backends Backends
}

// An Assignment sets one key from outside the file.
type Assignment struct {
	Key    string // "log.level", "stacks.edge.backend"
	Value  string // as in the file; items of a list are separated by commas
	Source string // for messages: "--listen"
}

// ParseAssignment parses "key=value".
func ParseAssignment(s, source string) (Assignment, error) {
	k, v, ok := strings.Cut(s, "=")
	if !ok || k == "" {
		return Assignment{}, fmt.Errorf("%s: %q is not KEY=VALUE", source, s)
	}
	return Assignment{Key: k, Value: v, Source: source + " " + s}, nil
}

// Load reads, merges and validates. The error, if any, is of type [Errors],
// or that of reading the file.
func Load(opts Options) (*Config, error) {
	name, data := opts.Name, opts.Data
	if opts.File != "" {
		name = opts.File
		var err error
		if data, err = readFile(opts.File); err != nil {
			return nil, err
		}
	}
	l := &loader{root: root, file: name, pos: map[string]position{"": {file: name}}}
	tree := l.parse(data)
	l.environment(tree, opts.Environ)
	for _, a := range opts.Set {
		l.assign(tree, a)
	}
	l.complete(l.root, tree, "", "")
	if err := l.errs.orNil(); err != nil {
		return nil, err
	}

	// viper merges and decodes. By now every value has been checked on its
	// own, with its position, which viper does not know.
	v := viper.New()
	if err := v.MergeConfigMap(tree); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, s := range l.overrides {
		v.Set(s.key, s.value)
	}
	cfg := &Config{name: name, pos: l.pos, backends: opts.Backends}
	if cfg.backends == nil {
		cfg.backends = DefaultBackends()
	}
	err := v.UnmarshalExact(cfg, func(dc *mapstructure.DecoderConfig) {
		dc.DecodeHook = mapstructure.TextUnmarshallerHookFunc()
		dc.WeaklyTypedInput = false
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return cfg, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if st.Size() > maxFile {
		return nil, fmt.Errorf("%s: larger than %s", path, Size(maxFile))
	}
	data := make([]byte, maxFile+1)
	n := 0
	for n < len(data) {
		m, err := f.Read(data[n:])
		n += m
		if err != nil {
			break
		}
	}
	if n > maxFile {
		return nil, fmt.Errorf("%s: larger than %s", path, Size(maxFile))
	}
	return data[:n], nil
}

// loader builds the tree of values from a file and what overrides it, noting
// where each came from.
type loader struct {
	root      *field
	file      string
	pos       map[string]position // by path: "stacks[0].link"
	errs      Errors
	overrides []override
}

type override struct {
	key   string
	value any
}

func (l *loader) at(n *yaml.Node) position {
	return position{file: l.file, line: n.Line, column: n.Column}
}

func (l *loader) parse(data []byte) map[string]any {
	empty := map[string]any{}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if strings.TrimSpace(string(data)) == "" || err.Error() == "EOF" {
			l.errs.add(position{file: l.file}, "", "is empty")
			return empty
		}
		l.syntax(err)
		return empty
	}
	var second yaml.Node
	if dec.Decode(&second) == nil {
		l.errs.add(l.at(&second), "", "a second document; one file is one document")
	}
	v, _ := l.block(l.root, resolve(doc.Content[0]), "", "").(map[string]any)
	if v == nil {
		return empty
	}
	return v
}

// syntax reports what the YAML parser says, which has lines but no columns.
func (l *loader) syntax(err error) {
	var te *yaml.TypeError
	msgs := []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	if errors.As(err, &te) {
		msgs = te.Errors
	}
	for _, m := range msgs {
		p := position{file: l.file}
		if rest, ok := strings.CutPrefix(m, "line "); ok {
			if n, text, ok := strings.Cut(rest, ": "); ok {
				if line, err := strconv.Atoi(n); err == nil {
					p.line, m = line, text
				}
			}
		}
		l.errs.add(p, "", "not valid YAML: %s", m)
	}
}

func resolve(n *yaml.Node) *yaml.Node {
	for range 16 {
		if n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	return n
}

// block turns a mapping into a map. path has indices, key has names.
func (l *loader) block(f *field, n *yaml.Node, path, key string) any {
	if n.Kind != yaml.MappingNode {
		what := "keys and values"
		if key != "" {
			what = "a block of keys and values, such as {" + f.fields[0].name + ": ...}"
		}
		l.errs.add(l.at(n), key, "wants %s", what)
		return nil
	}
	m := map[string]any{}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolve(n.Content[i+1])
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			l.errs.add(l.at(k), key, "merge keys and keys that are not plain text are not supported")
			continue
		}
		name := k.Value
		full := join(key, name)
		if line, dup := seen[name]; dup {
			l.errs.add(l.at(k), full, "is there twice; first on line %d", line)
			continue
		}
		seen[name] = k.Line
		c := f.child(name)
		if c == nil {
			where := ""
			if w := nearest(name, f.names()); w == "" {
				if p := l.elsewhere(name); p != "" {
					where = fmt.Sprintf("; there is a key %s", p)
				}
			}
			if where == "" {
				where = suggest(name, f.names())
			}
			l.errs.add(l.at(k), full, "unknown key%s", where)
			continue
		}
		p := join(path, name)
		l.pos[p] = l.at(k)
		if x := l.value(c, v, p, full); x != nil {
			m[name] = x
		}
	}
	return m
}

// elsewhere returns the path of a key of that name in another place.
func (l *loader) elsewhere(name string) string {
	for _, k := range keysOf(l.root) {
		if k.Path == name || strings.HasSuffix(k.Path, "."+name) {
			return k.Path
		}
	}
	return ""
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// value returns the value of a node, or nil if it is wrong or empty.
func (l *loader) value(f *field, n *yaml.Node, path, key string) any {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		what := "a value"
		switch {
		case f.list:
			what = "a list"
		case f.fields != nil:
			what = "a block; write {} for one that is all defaults"
		}
		l.errs.add(l.at(n), key, "is empty: it wants %s", what)
		return nil
	}
	if f.list {
		if n.Kind != yaml.SequenceNode {
			l.errs.add(l.at(n), key, "wants a list, such as [%s]", strings.TrimSpace(n.Value))
			return nil
		}
		list := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			item = resolve(item)
			p := path + "[" + strconv.Itoa(i) + "]"
			k := key + "[" + strconv.Itoa(i) + "]"
			l.pos[p] = l.at(item)
			if f.fields != nil {
				k = key + "." + nameOf(item, i)
			}
			one := *f
			one.list = false
			if x := l.value(&one, item, p, k); x != nil {
				list = append(list, x)
			} else {
				list = append(list, map[string]any{}) // keep indices in step
			}
		}
		return list
	}
	if f.fields != nil {
		return l.block(f, n, path, key)
	}
	if n.Kind != yaml.ScalarNode {
		l.errs.add(l.at(n), key, "wants one value")
		return nil
	}
	x, err := f.parse(n.Value)
	if err != nil {
		l.errs.add(l.at(n), key, "%s", err)
		return nil
	}
	return x
}

// nameOf returns the name of a list item, or its index.
func nameOf(n *yaml.Node, i int) string {
	if n.Kind == yaml.MappingNode {
		for j := 0; j+1 < len(n.Content); j += 2 {
			if n.Content[j].Value == "name" && resolve(n.Content[j+1]).Value != "" {
				return resolve(n.Content[j+1]).Value
			}
		}
	}
	return "#" + strconv.Itoa(i+1)
}

// complete adds defaults to a tree and reports what is required and absent.
func (l *loader) complete(f *field, m map[string]any, path, key string) {
	for _, c := range f.fields {
		x, present := m[c.name]
		full, p := join(key, c.name), join(path, c.name)
		_, given := l.pos[p] // even if it was wrong
		switch {
		case !present && given:
		case !present && c.required:
			l.errs.add(l.nearestPos(path), full, "is required")
		case !present && c.fields != nil && !c.list && !c.optional:
			b := map[string]any{}
			m[c.name] = b
			l.complete(c, b, p, full)
		case !present && c.def != "" && c.list:
			var list []any
			for _, s := range strings.Split(c.def, ",") {
				list = append(list, s)
			}
			m[c.name] = list
		case !present && c.def != "":
			d, err := c.parse(c.def)
			if err != nil {
				panic("BUG: default of config key " + full + ": " + err.Error())
			}
			m[c.name] = d
		case !present:
		case c.list && c.fields != nil:
			names := map[string]int{}
			for i, item := range x.([]any) {
				b := item.(map[string]any)
				name, _ := b["name"].(string)
				ip := p + "[" + strconv.Itoa(i) + "]"
				if name != "" {
					if !validName(name) {
						l.errs.add(l.nearestPos(ip+".name"), full, "%q is not a name: lower-case letters, digits and '-', beginning with a letter", name)
					} else if first, dup := names[name]; dup {
						l.errs.add(l.nearestPos(ip+".name"), full, "the name %q is taken by item %d", name, first+1)
					}
					names[name] = i
				} else {
					name = "#" + strconv.Itoa(i+1)
				}
				l.complete(c, b, ip, full+"."+name)
			}
		case c.fields != nil:
			l.complete(c, x.(map[string]any), p, full)
		}
	}
}

// nearestPos returns the position of path, or of the nearest block around it.
func (l *loader) nearestPos(path string) position { return nearestPos(l.pos, path) }

func nearestPos(pos map[string]position, path string) position {
	for {
		if p, ok := pos[path]; ok {
			return p
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return pos[""]
		}
		path = path[:i]
	}
}

func validName(s string) bool {
	for i, r := range s {
		if !(r >= 'a' && r <= 'z' || i > 0 && (r >= '0' && r <= '9' || r == '-')) {
			return false
		}
	}
	return s != "" && len(s) <= 32
}
