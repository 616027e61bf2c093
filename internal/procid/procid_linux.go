package procid

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Boot is CLOCK_BOOTTIME.
func (SystemClock) Boot() time.Duration { return clock(unix.CLOCK_BOOTTIME) }

// Awake is CLOCK_MONOTONIC, which stands still while the machine sleeps.
func (SystemClock) Awake() time.Duration { return clock(unix.CLOCK_MONOTONIC) }

func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return time.Since(started)
	}
	return time.Duration(ts.Nano())
}

// Self is this process.
func (System) Self() ID { return self() }

var self = sync.OnceValue(func() ID {
	id := ID{PID: os.Getpid()}
	id.Start, _ = startTime(id.PID)
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		id.Boot = strings.TrimSpace(string(b))
	}
	id.NS, _ = os.Readlink("/proc/self/ns/pid")
	return id
})

// Dead reports whether id is surely dead.
func (System) Dead(id ID) bool {
	me := self()
	if id.PID <= 0 || id.Start == "" || id.Boot == "" || id.NS == "" || me.Start == "" {
		return false
	}
	if id.Boot != me.Boot || id.NS != me.NS {
		return false
	}
	start, err := startTime(id.PID)
	switch {
	case errors.Is(err, errZombie):
		return true
	case errors.Is(err, os.ErrNotExist):
		// A hidden /proc (hidepid) also says "not there": ask the kernel.
		return errors.Is(unix.Kill(id.PID, 0), unix.ESRCH)
	}
	return err == nil && start != id.Start
}

// errZombie: the process has ended and waits for its parent. (A zombie whose
// other threads live on would still hold its guard; whoever asks holds it.)
var errZombie = errors.New("zombie")

// startTime is field 22 of /proc/PID/stat, counted after the command name,
// which may itself hold spaces and parentheses.
func startTime(pid int) (string, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return "", os.ErrInvalid
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 {
		return "", os.ErrInvalid
	}
	if f[0] == "Z" || f[0] == "X" {
		return "", errZombie
	}
	return f[19], nil
}
