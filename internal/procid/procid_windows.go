package procid

import (
	"os"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Boot is GetTickCount64, which runs on during sleep.
func (SystemClock) Boot() time.Duration { return windows.DurationSinceBoot() }

var unbiased = windows.NewLazySystemDLL("kernel32.dll").NewProc("QueryUnbiasedInterruptTime")

// Awake is QueryUnbiasedInterruptTime, which stands still while the machine
// sleeps; in units of 100 ns.
func (c SystemClock) Awake() time.Duration {
	var t uint64
	if unbiased.Find() != nil {
		return c.Boot()
	}
	if ok, _, _ := unbiased.Call(uintptr(unsafe.Pointer(&t))); ok == 0 {
		return c.Boot()
	}
	return time.Duration(t) * 100
}

// Self knows pid and start time, for messages. Windows has no boot id that
// ordinary calls tell, and a container does not see the processes outside.
func (System) Self() ID { return self() }

var self = sync.OnceValue(func() ID {
	id := ID{PID: os.Getpid()}
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(windows.CurrentProcess(), &created, &exited, &kernel, &user) == nil {
		id.Start = strconv.FormatInt(created.Nanoseconds(), 10)
	}
	return id
})

// Dead is never sure here: the age rule of INTEROP §3 decides.
func (System) Dead(ID) bool { return false }
