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

// Self is this process.
func (System) Self() ID { return self() }

var self = sync.OnceValue(func() ID {
	id := ID{PID: os.Getpid()}
	if n, err := os.Readlink("/proc/self"); err == nil && n == strconv.Itoa(id.PID) {
		id.Start, _ = startTime(id.PID)
	} // else this /proc is of another pid namespace, and all it says is of others
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		id.Boot = strings.TrimSpace(string(b))
	}
	id.NS = namespaces()
	return id
})

// namespaces are those in which a pid and a start time mean something: the
// kernel shifts the start times in /proc by the reader's time namespace.
func namespaces() string {
	pid, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	clock, _ := os.Readlink("/proc/self/ns/time") // Linux 5.6 and later
	return pid + clock
}

// Dead reports whether id is surely dead.
func (System) Dead(id ID) bool {
	if !sameTable(id, self()) {
		return false
	}
	start, err := startTime(id.PID)
	switch {
	case errors.Is(err, errZombie):
		return true
	case errors.Is(err, os.ErrNotExist):
		// A hidden /proc (hidepid) also says "not there": ask the kernel.
		return gone(id.PID)
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
