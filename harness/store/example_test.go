package store_test

import (
	"fmt"
	"os"
	"time"

	"github.com/raftcheck/raftcheck/harness/store"
)

func Example() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory

	began := time.Date(2026, 11, 21, 7, 15, 0, 0, time.UTC)
	run, err := store.Create(dir, store.NewID(began, "register", 7))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer run.Close()
	history, err := run.Append(store.HistoryFile)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(history.Close(), run.MarkLatest(), run.WriteJSON(store.VerdictFile, "valid"))

	again, err := store.Open(dir, store.Latest)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer again.Close()
	fmt.Println(again.ID())
	// Output:
	// <nil> <nil> <nil>
	// 20261121T071500Z-register-0000000000000007
}
