package api

import (
	"testing"
	"time"
)

// A peer of a probing machine: drive calls Next as the engine does, from a last
// segment at 0, and returns when probes went out and when it gave up.
func drive(k Keepalive, sleeps map[int]time.Duration) (probes []time.Duration, gaveUp time.Duration) {
	now, sent := time.Duration(0), 0
	for call := 0; call < 1000; call++ {
		action, wait := k.Next(now, sent)
		switch action {
		case KeepaliveProbe:
			probes = append(probes, now)
			sent++
		case KeepaliveGiveUp:
			return probes, now
		}
		now += wait + sleeps[call]
	}
	return probes, -1
}

// (K1, K2)
func TestKeepaliveSchedule(t *testing.T) {
	for _, c := range []struct {
		k               KeepaliveConfig
		first, interval time.Duration
		probes          int
	}{
		{KeepaliveConfig{}, 2 * time.Hour, 75 * time.Second, 9},
		{KeepaliveConfig{After: -1, Interval: -1, Probes: -1}, 2 * time.Hour, 75 * time.Second, 9},
		{KeepaliveConfig{After: time.Minute, Interval: 10 * time.Second, Probes: 3}, time.Minute, 10 * time.Second, 3},
		{KeepaliveConfig{After: time.Second, Interval: time.Millisecond, Probes: 1}, time.Second, time.Millisecond, 1},
	} {
		probes, end := drive(c.k, nil)
		if len(probes) != c.probes {
			t.Fatalf("%+v: %d probes", c.k, len(probes))
		}
		for i, at := range probes {
			if want := c.first + time.Duration(i)*c.interval; at != want {
				t.Errorf("%+v: probe %d at %v, want %v", c.k, i, at, want)
			}
		}
		if want := c.first + time.Duration(c.probes)*c.interval; end != want {
			t.Errorf("%+v: gave up at %v, want %v", c.k, end, want)
		}
	}
}

// A process that slept sends no burst of probes and gives up no sooner (K2).
func TestKeepaliveSleep(t *testing.T) {
	k := KeepaliveConfig{After: time.Minute, Interval: 10 * time.Second, Probes: 3}
	for call := range 3 {
		probes, end := drive(k, map[int]time.Duration{call: 24 * time.Hour})
		if len(probes) != 3 {
			t.Fatalf("asleep after call %d: %d probes", call, len(probes))
		}
		for i := 1; i < len(probes); i++ {
			if probes[i]-probes[i-1] < k.Interval {
				t.Errorf("asleep after call %d: probes %v apart", call, probes[i]-probes[i-1])
			}
		}
		if end-probes[2] < k.Interval {
			t.Errorf("asleep after call %d: gave up %v after the last probe", call, end-probes[2])
		}
	}
}

// One probe never kills (K2), and activity starts all over.
func TestKeepaliveActivity(t *testing.T) {
	k := KeepaliveConfig{After: time.Minute, Interval: 10 * time.Second, Probes: 1}
	for _, c := range []struct {
		idle   time.Duration
		sent   int
		action KeepaliveAction
		wait   time.Duration
	}{
		{0, 0, KeepaliveWait, time.Minute},
		{40 * time.Second, 0, KeepaliveWait, 20 * time.Second},
		{time.Minute, 0, KeepaliveProbe, 10 * time.Second},
		{time.Hour, 0, KeepaliveProbe, 10 * time.Second},
		{70 * time.Second, 1, KeepaliveGiveUp, 0},
	} {
		if a, w := k.Next(c.idle, c.sent); a != c.action || w != c.wait {
			t.Errorf("Next(%v, %d) = %v, %v; want %v, %v", c.idle, c.sent, a, w, c.action, c.wait)
		}
	}
}
