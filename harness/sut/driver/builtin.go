package driver

import (
	"embed"
	"path"

	"github.com/raftcheck/raftcheck/harness/sut"
)

//go:embed systems/*.yaml
var systems embed.FS

// Builtin makes a system whose file comes with raftcheck: "raftexample" or "hashicorp".
func Builtin(name string, options map[string]string) (*System, error) {
	raw, err := systems.ReadFile(path.Join("systems", name+".yaml"))
	if err != nil {
		return nil, err
	}
	return New(sut.Ref{Name: name, Options: options, Spec: string(raw)})
}
