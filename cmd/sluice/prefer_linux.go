package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// preferProcess lets this process, its threads and children run before others, if that
// is allowed: what else the machine does should not decide a comparison.
func preferProcess() {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			unix.Setpriority(unix.PRIO_PROCESS, tid, -19)
		}
	}
}
