package host

// A lookup finds what holds a pair of addresses: a hash table whose chains run
// through the things themselves, so that one costs a word here and a word there. In
// a map, the key alone would take 36 bytes again.
//
// The hash is keyed: strangers cannot choose addresses that collide.
type lookup[T any] struct {
	hashKey uint64
	place   func(*T) (key *tuple, next **T) // of a T, as long as it is in
	buckets []*T                            // a power of two of them
	n       int
	last    *T // that get found; packets come in runs
}

// minBuckets is what a lookup that has anything has at least.
const minBuckets = 8

func (l *lookup[T]) bucket(key *tuple) **T {
	return &l.buckets[hash16(l.hashKey, key.Local, key.Remote, key.LocalPort, key.RemotePort)&uint64(len(l.buckets)-1)]
}

func (l *lookup[T]) len() int { return l.n }

// get returns what holds key, or nil.
func (l *lookup[T]) get(key *tuple) *T {
	if l.n == 0 {
		return nil
	}
	if l.last != nil {
		if k, _ := l.place(l.last); *k == *key {
			return l.last
		}
	}
	for t := *l.bucket(key); t != nil; {
		k, next := l.place(t)
		if *k == *key {
			l.last = t
			return t
		}
		t = *next
	}
	return nil
}

// add puts t in. Nothing may hold its key yet.
func (l *lookup[T]) add(t *T) {
	if l.n >= len(l.buckets) {
		l.resize(max(2*len(l.buckets), minBuckets))
	}
	l.link(t)
	l.n++
}

func (l *lookup[T]) link(t *T) {
	key, next := l.place(t)
	b := l.bucket(key)
	*next, *b = *b, t
}

// remove takes t out, which is in.
func (l *lookup[T]) remove(t *T) {
	key, next := l.place(t)
	b := l.bucket(key)
	for *b != t {
		_, b = l.place(*b)
	}
	*b, *next = *next, nil
	if l.last == t {
		l.last = nil
	}
	if l.n--; l.n < len(l.buckets)/8 && len(l.buckets) > minBuckets {
		l.resize(max(len(l.buckets)/4, minBuckets))
	}
}

// all returns everything that is in, in no order that means anything.
func (l *lookup[T]) all() []*T {
	ts := make([]*T, 0, l.n)
	for _, t := range l.buckets {
		for t != nil {
			ts = append(ts, t)
			_, next := l.place(t)
			t = *next
		}
	}
	return ts
}

func (l *lookup[T]) resize(n int) {
	old := l.buckets
	l.buckets = make([]*T, n)
	for _, t := range old {
		for t != nil {
			_, p := l.place(t)
			next := *p
			l.link(t)
			t = next
		}
	}
}
