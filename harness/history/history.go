package history

// History is a run's operations in order, with what the file's header says of the run.
type History struct {
	Header Header
	Ops    []Op
	// Complete says that the file ends as its writer meant it to. What is cut short is judged all
	// the same: operations that are open at the end are [Info].
	Complete bool
}

// Header is the first line of a history file. See FORMAT.md.
type Header struct{}
