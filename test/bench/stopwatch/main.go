// Command stopwatch runs a command and prints what the kernel counted of it, as JSON: seconds from before it was started until it had
// ended, seconds of CPU (user and system), and the peak of its resident memory in bytes (of the largest process, where it started
// others). What the command writes to standard output is thrown away. Fails when the command fails.
//
//	stopwatch COMMAND [ARGUMENT]...
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

type lap struct {
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpuSeconds"`
	PeakBytes  int64   `json:"peakBytes"`
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: stopwatch COMMAND [ARGUMENT]...")
		os.Exit(2)
	}
	measured, err := run(exec.Command(os.Args[1], os.Args[2:]...))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(measured); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(command *exec.Cmd) (lap, error) {
	// Without pipes: nothing but the wait stands between the end of the command and the second look at the clock.
	command.Stderr = os.Stderr
	started := time.Now()
	err := command.Run()
	took := time.Since(started)
	if err != nil {
		return lap{}, err
	}
	state := command.ProcessState
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return lap{}, fmt.Errorf("this system says nothing of a process that has ended")
	}
	return lap{
		Seconds:    took.Seconds(),
		CPUSeconds: (state.UserTime() + state.SystemTime()).Seconds(),
		// Linux counts KiB.
		PeakBytes: usage.Maxrss * 1024,
	}, nil
}
