package procid

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Boot is CLOCK_MONOTONIC_RAW, which on this system runs on during sleep
// (clock_gettime(3)).
func (SystemClock) Boot() time.Duration { return clock(unix.CLOCK_MONOTONIC_RAW) }

// Awake is CLOCK_UPTIME_RAW, which stands still while the machine sleeps.
func (SystemClock) Awake() time.Duration { return clock(unix.CLOCK_UPTIME_RAW) }

// Self is this process.
func (System) Self() ID { return self() }

var self = sync.OnceValue(func() ID {
	// There is one pid namespace; a container is a virtual machine with a boot of
	// its own.
	id := ID{PID: os.Getpid(), NS: "darwin"}
	id.Start, _, _ = startTime(id.PID)
	id.Boot, _ = unix.Sysctl("kern.bootsessionuuid")
	return id
})

// Dead reports whether id is surely dead.
func (System) Dead(id ID) bool {
	if !sameTable(id, self()) {
		return false
	}
	start, zombie, err := startTime(id.PID)
	if err != nil {
		return gone(id.PID)
	}
	return zombie || start != id.Start
}

// stateZombie is SZOMB of <sys/proc.h>.
const stateZombie = 5

func startTime(pid int) (start string, zombie bool, err error) {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return "", false, err
	}
	if int(p.Proc.P_pid) != pid {
		return "", false, os.ErrNotExist
	}
	t := p.Proc.P_starttime
	return fmt.Sprintf("%d.%06d", t.Sec, t.Usec), p.Proc.P_stat == stateZombie, nil
}
