package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Load shapes what clients do. Zero fields are what the workload does by itself.
type Load struct {
	// Keys is how many objects are in use at once.
	Keys int `json:"keys,omitempty"`
	// Skew makes some keys hot: their shares follow Zipf's law with this exponent, more than 1 and
	// at most 10. Zero uses all keys alike.
	Skew float64 `json:"skew,omitempty"`
	// Reads is the share of operations that read, more than 0 and less than 1.
	Reads float64 `json:"reads,omitempty"`
	// ValueBytes is the size of the largest value, for workloads whose values can be padded.
	ValueBytes int `json:"value_bytes,omitempty"`
	// Burst is how many times as many operations come in the last fifth of every BurstEvery; the
	// rate stays what it is, over all. Zero is none.
	Burst      float64       `json:"burst,omitempty"`
	BurstEvery time.Duration `json:"burst_every_ns,omitempty"`
	// Clients says who changes nodes when the own one does not do what they want: half of them,
	// which is also what an empty text means, all ("roaming") or none ("pinned").
	Clients string `json:"clients,omitempty"`
}

// LoadNames are the names that [Load.Set] takes.
func LoadNames() []string {
	return []string{"keys", "skew", "reads", "value-bytes", "burst", "burst-every", "clients"}
}

// Set takes "name=value", or several of them with commas between.
func (l *Load) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found {
			return fmt.Errorf("%q: want name=value, name being one of %s", part,
				strings.Join(LoadNames(), ", "))
		}
		if err := l.set(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (l *Load) set(name, value string) (err error) {
	switch name {
	case "keys":
		l.Keys, err = strconv.Atoi(value)
	case "skew":
		l.Skew, err = strconv.ParseFloat(value, 64)
	case "reads":
		l.Reads, err = strconv.ParseFloat(value, 64)
	case "value-bytes":
		l.ValueBytes, err = strconv.Atoi(value)
	case "burst":
		l.Burst, err = strconv.ParseFloat(value, 64)
	case "burst-every":
		l.BurstEvery, err = time.ParseDuration(value)
	case "clients":
		l.Clients = value
	default:
		return fmt.Errorf("unknown %q: there is %s", name, strings.Join(LoadNames(), ", "))
	}
	if err != nil {
		return fmt.Errorf("%s=%s: want a number or, for burst-every, a duration like 5s", name, value)
	}
	if l.Burst > 0 && l.BurstEvery == 0 {
		l.BurstEvery = 5 * time.Second
	}
	return nil
}

// String is what [Load.Set] takes; empty for the zero value.
func (l Load) String() string {
	var parts []string
	add := func(name string, given bool, value any) {
		if given {
			parts = append(parts, fmt.Sprintf("%s=%v", name, value))
		}
	}
	add("keys", l.Keys != 0, l.Keys)
	add("skew", l.Skew != 0, l.Skew)
	add("reads", l.Reads != 0, l.Reads)
	add("value-bytes", l.ValueBytes != 0, l.ValueBytes)
	add("burst", l.Burst != 0, l.Burst)
	add("burst-every", l.BurstEvery != 0, l.BurstEvery)
	add("clients", l.Clients != "", l.Clients)
	return strings.Join(parts, ",")
}

// maxKeys and maxValueBytes keep a mistake from filling the memory; stores take a MiB at the most.
const (
	maxKeys       = 1_000_000
	maxValueBytes = 1 << 20
)

func (l Load) validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("load: "+format, args...))
		}
	}
	wrong(l.Keys < 0 || l.Keys > maxKeys, "keys %d: want at most %d", l.Keys, maxKeys)
	wrong(l.Skew != 0 && !(l.Skew > 1 && l.Skew <= 10),
		"skew %v: want more than 1 and at most 10, or 0 for none", l.Skew)
	wrong(l.Reads != 0 && !(l.Reads > 0 && l.Reads < 1),
		"reads %v: want a share between 0 and 1", l.Reads)
	wrong(l.ValueBytes < 0 || l.ValueBytes > maxValueBytes,
		"value bytes %d: want at most %d", l.ValueBytes, maxValueBytes)
	wrong(l.Burst != 0 && !(l.Burst > 1 && l.Burst <= 1000),
		"burst %v: want more than 1 and at most 1000, or 0 for none", l.Burst)
	wrong(l.BurstEvery < 0 || l.BurstEvery > 0 && l.BurstEvery < 10*time.Millisecond,
		"burst every %v: want at least 10ms", l.BurstEvery)
	switch l.Clients {
	case "", "half", "pinned", "roaming":
	default:
		wrong(true, "clients %q: want half, pinned or roaming", l.Clients)
	}
	return errors.Join(errs...)
}
