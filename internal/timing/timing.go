// Package timing holds every time of the protocol in one struct, so that tests
// and the proof can shorten them all by one factor and nobody else can.
package timing

import (
	"reflect"
	"time"
)

// Clock is the time as evercred sees it. Timers come from package time
// (testing/synctest drives those); Clock exists because a wall clock jumps and
// a monotonic clock may stand still while the machine sleeps.
type Clock interface {
	// Now is the wall clock.
	Now() time.Time
	// Boot is the time since boot, sleep included: it never jumps.
	Boot() time.Duration
	// Awake is the time since boot, sleep excluded.
	Awake() time.Duration
}

// Protocol is every wait, age and bound of DESIGN §6 and INTEROP §3.
type Protocol struct {
	// The owners' directory locks (INTEROP §3).
	Settle         time.Duration // wait after making the locks, before looking at our stamps again
	SettleTakeover time.Duration // the same after taking over a stale lock
	Beat           time.Duration // between two beats of a lock that we hold
	StaleAge       time.Duration // a refresh lock older than this may be dead
	StaleAgeWrite  time.Duration // the same for the write lock
	Watch          time.Duration // and must have stood still this long under our eyes
	WatchBlind     time.Duration // the same where ages mean nothing: times in the future, network file systems
	TryMin, TryMax time.Duration // between two tries to make a lock, with jitter
	WriteWait      time.Duration // how long a save waits for the owner's write lock

	// Watching the store while waiting for a lock.
	LookMin, LookMax time.Duration

	// One send.
	Answer       time.Duration   // from the first byte sent to the last byte of the answer
	UnsentWithin time.Duration   // tries that never left share this much time
	UnsentPause  []time.Duration // waits before the second and later such tries
	Repeat       []time.Duration // waits before the same token is sent again after an unknown outcome

	// The owner's own command (INTEROP §8).
	OwnerPatience time.Duration // how long it may take
	OwnerGrace    time.Duration // and how long after a SIGTERM, before it is left alone

	// Memory.
	CooldownLimitedMin, CooldownLimitedMax         time.Duration // after a 429
	CooldownUnknownMin, CooldownUnknownMax         time.Duration // after an unknown outcome, doubling
	CooldownUnreachableMin, CooldownUnreachableMax time.Duration // after "unreachable" or "not the endpoint", doubling
	RefusedMin, RefusedMax                         time.Duration // after a fresh successor was refused, doubling
	RefusedWithin                                  time.Duration // a successor refused this soon after its grant counts as fresh
	Spacing                                        time.Duration // from an unanswered send to the grant of the next generation
	History                                        time.Duration // how long a closed attempt is kept

	// The store.
	Torn            time.Duration // a document that does not parse is read again until this long after its last change
	SaveRetryMin    time.Duration // first wait after a failed save
	SaveRetryMax    time.Duration // longest wait between two tries of a save
	ProbePatience   time.Duration // how long a caller waits for a stat before it is served without
	LifetimeUnknown time.Duration // assumed for a token whose lifetime the endpoint did not say
	LifetimeMax     time.Duration // a longer lifetime is not believed
	DeadlineWarning time.Duration // how long before the login's own end we say so

	// The keychain program (INTEROP §7).
	KeychainCall  time.Duration // how long one call may take: a prompt may wait where nobody sees it
	KeychainEnd   time.Duration // from TERM to giving it up
	KeychainProbe time.Duration // between two looks at an item that nothing else asks for
}

// Default returns the times of the design.
func Default() Protocol {
	const s, m, h = time.Second, time.Minute, time.Hour
	return Protocol{
		Settle:         100 * time.Millisecond,
		SettleTakeover: 250 * time.Millisecond,
		Beat:           1500 * time.Millisecond,
		StaleAge:       60 * s,
		StaleAgeWrite:  15 * s,
		Watch:          12 * s,
		WatchBlind:     60 * s,
		TryMin:         50 * time.Millisecond,
		TryMax:         250 * time.Millisecond,
		WriteWait:      20 * s,

		LookMin: 10 * time.Millisecond,
		LookMax: 50 * time.Millisecond,

		Answer:       30 * s,
		UnsentWithin: 5 * s,
		UnsentPause:  []time.Duration{300 * time.Millisecond, 1200 * time.Millisecond},
		Repeat:       []time.Duration{1 * s, 4 * s, 12 * s},

		OwnerPatience: 1 * m,
		OwnerGrace:    10 * s,

		CooldownLimitedMin:     1 * m,
		CooldownLimitedMax:     1 * h,
		CooldownUnknownMin:     30 * s,
		CooldownUnknownMax:     15 * m,
		CooldownUnreachableMin: 2 * s,
		CooldownUnreachableMax: 1 * m,
		RefusedMin:             1 * h,
		RefusedMax:             24 * h,
		RefusedWithin:          10 * m,
		Spacing:                120 * s,
		History:                30 * 24 * h,

		Torn:            2 * s,
		SaveRetryMin:    500 * time.Millisecond,
		SaveRetryMax:    1 * m,
		ProbePatience:   5 * time.Millisecond,
		LifetimeUnknown: 1 * h,
		LifetimeMax:     366 * 24 * h,
		DeadlineWarning: 3 * 24 * h,

		KeychainCall:  15 * s,
		KeychainEnd:   2 * s,
		KeychainProbe: 30 * s,
	}
}

// Scaled returns the protocol with every wait, age and bound shortened by a
// factor, for the proof. What speaks of tokens rather than of processes stays:
// lifetimes, and how long a history is kept. So does Answer, because the other
// end of it does not get faster.
func (p Protocol) Scaled(factor int) Protocol {
	kept := p
	v := reflect.ValueOf(&p).Elem()
	by := func(d reflect.Value) { d.SetInt(d.Int() / int64(factor)) }
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice {
			f.Set(reflect.AppendSlice(reflect.Zero(f.Type()), f)) // the copy shares no wait with the original
			for j := range f.Len() {
				by(f.Index(j))
			}
		} else {
			by(f)
		}
	}
	p.LifetimeUnknown, p.LifetimeMax, p.DeadlineWarning = kept.LifetimeUnknown, kept.LifetimeMax, kept.DeadlineWarning
	p.History, p.Answer = kept.History, kept.Answer
	return p
}
