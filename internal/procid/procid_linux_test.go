package procid

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// waiting in the environment makes the test binary say who it is and wait.
const waiting = "EVERCRED_PROCID_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(waiting) != "" {
		os.Stdout.WriteString(System{}.Self().Start + "\n")
		io.Copy(io.Discard, os.Stdin)
		return
	}
	os.Exit(m.Run())
}

// child is a running process and its name.
func child(t *testing.T) (*exec.Cmd, ID) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = []string{waiting + "=1"}
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	id := System{}.Self()
	id.PID, id.Start = c.Process.Pid, strings.TrimSpace(string(line[:n]))
	return c, id
}

func TestSelf(t *testing.T) {
	id := System{}.Self()
	if id.PID != os.Getpid() || id.Start == "" || id.Boot == "" || id.NS == "" {
		t.Errorf("%+v", id)
	}
	if id != (System{}).Self() {
		t.Error("another one the second time")
	}
	if (System{}).Dead(id) {
		t.Error("we are dead")
	}
}

func TestDead(t *testing.T) {
	c, id := child(t)
	if (System{}).Dead(id) {
		t.Fatal("a living child is dead")
	}
	reused := id
	reused.Start += "0"
	if !(System{}).Dead(reused) {
		t.Error("a process of another start time stands for the one that had its pid")
	}

	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// It is a zombie as soon as it can be waited for, and until it is.
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, id.PID, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := startTime(id.PID); !errors.Is(err, errZombie) {
		t.Fatalf("no zombie: %v", err)
	}
	if !(System{}).Dead(id) {
		t.Error("a zombie lives")
	}
	c.Wait()
	if !(System{}).Dead(id) {
		t.Error("a killed child lives")
	}

	// L7b: nothing is concluded across boots and pid namespaces, nor from what is
	// not known.
	for what, change := range map[string]func(*ID){
		"another boot":       func(id *ID) { id.Boot = "00000000-0000-0000-0000-000000000000" },
		"another namespace":  func(id *ID) { id.NS = "pid:[1]" },
		"unknown start":      func(id *ID) { id.Start = "" },
		"unknown boot":       func(id *ID) { id.Boot = "" },
		"unknown namespace":  func(id *ID) { id.NS = "" },
		"no pid":             func(id *ID) { id.PID = 0 },
		"every process":      func(id *ID) { id.PID = -1 },
		"nothing whatsoever": func(id *ID) { *id = ID{} },
	} {
		other := id
		change(&other)
		if (System{}).Dead(other) {
			t.Errorf("%s: %+v is called dead", what, other)
		}
	}
	unknown := ID{PID: 1, Boot: id.Boot, NS: id.NS}
	if sameTable(id, unknown) {
		t.Error("we do not know ourselves, and yet judge")
	}
}

// TestOtherNamespaces is L7b with real ones: a process that shares this /proc,
// but counts pids or boot time by itself, concludes nothing about us.
func TestOtherNamespaces(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to make namespaces")
	}
	me := System{}.Self()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = []string{waiting + "=1"}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	out, err := c.Output()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		t.Skipf("no pid namespaces here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if start := strings.TrimSpace(string(out)); start != "" {
		t.Errorf("pid 1 of another namespace took start time %q from a /proc that is not its own (ours: %+v)", start, me)
	}
}

func TestClocks(t *testing.T) {
	c := SystemClock{}
	awake, boot, wall := c.Awake(), c.Boot(), c.Now()
	if boot < awake || awake <= 0 {
		t.Errorf("boot %v, awake %v", boot, awake)
	}
	if c.Boot() < boot || c.Awake() < awake || time.Since(wall) < 0 {
		t.Error("a clock runs backwards")
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := time.ParseDuration(strings.Fields(string(uptime))[0] + "s")
	if d := seconds - boot; err != nil || d < -time.Second || d > time.Minute {
		t.Errorf("boot %v, uptime %v, %v", boot, seconds, err)
	}
}
