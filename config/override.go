package config

import (
	"sort"
	"strconv"
	"strings"
)

// EnvPrefix begins the names of environment variables that set keys.
const EnvPrefix = "SLUICE_"

// environment applies the variables of environ that begin with SLUICE_.
func (l *loader) environment(tree map[string]any, environ []string) {
	vars := map[string]string{}
	var names []string
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(k, EnvPrefix) {
			if _, dup := vars[k]; !dup {
				names = append(names, k)
			}
			vars[k] = v
		}
	}
	sort.Strings(names) // one order, whatever the shell's
	for _, name := range names {
		var valid []string
		key := ""
		l.eachKey(l.root, tree, "", func(k string) {
			env := envName(k)
			valid = append(valid, env)
			if env == name {
				key = k
			}
		})
		if key == "" {
			hint := ""
			if w := nearest(strings.ToLower(name), lower(valid)); w != "" {
				hint = "; did you mean " + strings.ToUpper(w) + "?"
			}
			l.errs.add(position{source: name}, "", "unknown environment variable%s", hint)
			continue
		}
		l.assign(tree, Assignment{Key: key, Value: vars[name], Source: name})
	}
}

func lower(s []string) []string {
	t := make([]string, len(s))
	for i := range s {
		t[i] = strings.ToLower(s[i])
	}
	return t
}

func envName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// eachKey calls f with each key that can be assigned: list items by name.
func (l *loader) eachKey(fd *field, m map[string]any, prefix string, f func(key string)) {
	for _, c := range fd.fields {
		key := join(prefix, c.name)
		switch {
		case c.isName || c.name == "version" && prefix == "":
		case c.list && c.fields != nil:
			items, _ := m[c.name].([]any)
			for _, item := range items {
				b, _ := item.(map[string]any)
				if name, _ := b["name"].(string); name != "" {
					l.eachKey(c, b, join(key, name), f)
				}
			}
		case c.fields != nil:
			b, _ := m[c.name].(map[string]any)
			l.eachKey(c, b, key, f)
		default:
			f(key)
		}
	}
}

// assign sets one key. Items of lists have to exist; blocks are made.
func (l *loader) assign(tree map[string]any, a Assignment) {
	src := position{source: a.Source}
	f, m, path := l.root, tree, ""
	parts := strings.Split(a.Key, ".")
	for i := 0; i < len(parts); i++ {
		c := f.child(parts[i])
		if c == nil || c.isName || c.name == "version" && i == 0 {
			hint := suggest(parts[i], f.names())
			l.errs.add(src, a.Key, "there is no key %q to set%s", parts[i], hint)
			return
		}
		last := i == len(parts)-1
		path = join(path, c.name)
		if c.fields == nil {
			if !last {
				l.errs.add(src, a.Key, "%q is not a block", strings.Join(parts[:i+1], "."))
				return
			}
			x, err := c.parseAll(a.Value)
			if err != nil {
				l.errs.add(src, a.Key, "%s", err)
				return
			}
			l.pos[path] = src
			m[c.name] = x
			if !strings.Contains(path, "[") {
				l.overrides = append(l.overrides, override{path, x})
			}
			return
		}
		if last {
			l.errs.add(src, a.Key, "is a block: name one of its keys%s", suggest("", c.names()))
			return
		}
		if !c.list {
			b, _ := m[c.name].(map[string]any)
			if b == nil {
				b = map[string]any{}
				m[c.name] = b
			}
			f, m = c, b
			continue
		}
		i++
		items, _ := m[c.name].([]any)
		var names []string
		found := false
		for j, item := range items {
			b, _ := item.(map[string]any)
			name, _ := b["name"].(string)
			names = append(names, name)
			if name == parts[i] && name != "" {
				f, m, found = c, b, true
				path += "[" + strconv.Itoa(j) + "]"
				break
			}
		}
		if !found {
			l.errs.add(src, a.Key, "%s has no item named %q%s", c.name, parts[i], suggest(parts[i], names))
			return
		}
		if i == len(parts)-1 {
			l.errs.add(src, a.Key, "names a whole item: name one of its keys")
			return
		}
	}
}

// parseAll is parse, for lists of values too.
func (f *field) parseAll(text string) (any, error) {
	if !f.list {
		return f.parse(text)
	}
	list := []any{}
	if text == "" {
		return list, nil
	}
	for _, s := range strings.Split(text, ",") {
		x, err := f.parse(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, nil
}
