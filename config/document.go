package config

import (
	"fmt"
	"reflect"

	"github.com/go-viper/mapstructure/v2"
)

// A Document is a file that was read into a value of any type, and knows where
// each part of it came from. Other formats than that of [Config] are read with it.
type Document struct {
	pos  map[string]position
	errs Errors
}

// Decode reads a document into v, a pointer to a struct whose fields have the
// tags of Config's: mapstructure, doc, default, min, max, oneof, required, name.
// It is as strict as [Load], and its errors are [Errors]. opts.Backends is not
// used.
func Decode(opts Options, v any) (*Document, error) {
	t := reflect.TypeOf(v).Elem()
	name, data := opts.Name, opts.Data
	if opts.File != "" {
		name = opts.File
		var err error
		if data, err = readFile(opts.File); err != nil {
			return nil, err
		}
	}
	l := &loader{
		root: &field{typ: t, fields: fieldsOf(t)},
		file: name,
		pos:  map[string]position{"": {file: name}},
	}
	tree := l.parse(data)
	l.environment(tree, opts.Environ)
	for _, a := range opts.Set {
		l.assign(tree, a)
	}
	l.complete(l.root, tree, "", "")
	if err := l.errs.orNil(); err != nil {
		return nil, err
	}
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: v, ErrorUnused: true, DecodeHook: mapstructure.TextUnmarshallerHookFunc(),
	})
	if err != nil {
		return nil, err
	}
	if err := dec.Decode(tree); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Document{pos: l.pos}, nil
}

// Given reports whether the document has the key of that path, in which items of
// lists have their index: "links[0].delay".
func (d *Document) Given(path string) bool { _, ok := d.pos[path]; return ok }

// Fail notes an error at a path. key is the path as it is shown, with the names of
// items: "links.wan.delay".
func (d *Document) Fail(path, key, format string, args ...any) {
	d.errs.add(nearestPos(d.pos, path), key, format, args...)
}

// Err returns what Fail has noted, as [Errors], or nil.
func (d *Document) Err() error { return d.errs.orNil() }

// KeysOf describes the keys of a document for v, as [Keys] does for Config.
func KeysOf(v any) []Key { return keysOf(&field{fields: fieldsOf(reflect.TypeOf(v).Elem())}) }

// Suggest returns, for a word that is none of words, "; did you mean X?" or the
// list of them, to end a message with.
func Suggest(word string, words []string) string { return suggest(word, words) }
