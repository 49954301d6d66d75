package report

import "github.com/raftcheck/raftcheck/harness/history"

type series struct{}

func newSeries(*history.History, []call) series { return series{} }
