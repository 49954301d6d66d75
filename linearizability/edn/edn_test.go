package edn

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/history"
)

func brief(h *history.History) string {
	var b strings.Builder
	for _, op := range h.Ops {
		b.WriteString(strings.Join([]string{op.Process.String(), op.Type.String(), op.F, op.Key,
			string(op.Value), op.Error}, " "))
		b.WriteByte('\n')
	}
	return b.String()
}

func TestRead(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"a map on each line", `{:process 0, :type :invoke, :f :cas, :value [1 2], :index 4, :time 5}
{:process :nemesis, :type :info, :f :start, :value "cut", :time 6}
{:process 0 :type :ok :f :cas :value [1 2] :time 7 :more #{1 2} :tag #inst "2020"}`,
			"0 invoke cas  [1,2] \nnemesis info start  \"cut\" \n0 ok cas  {\"swapped\":true} \n"},
		{"a vector of maps, commas and comments", `[{:type :invoke, :process 1, :f :read, :value nil},
; nothing
 {:type :fail, :process 1, :f :read, :value nil, :error :timed-out}]`,
			"1 invoke read  null \n1 fail read   timed-out\n"},
		{"many keys", `{:type :invoke, :process 1, :f :read, :value [x nil]}
{:type :ok, :process 1, :f :read, :value [x :y]}`,
			"1 invoke read x null \n1 ok read x \":y\" \n"},
		{"a text log", "hello\nINFO  jepsen.util - 0\t:invoke\t:read\tnil\n" +
			"INFO  jepsen.util - 0\t:fail\t:read\t:timed-out\n", ""},
		{"a text log, from its first line on", "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n" +
			"INFO  jepsen.util - 0\t:fail\t:read\t:timed-out\n" +
			"INFO  jepsen.util - 1\t:invoke\t:cas\t[1 2]\n" +
			"INFO  jepsen.util - :nemesis\t:info\t:stop\t\"x\"\n",
			"0 invoke read  null \n0 fail read   timed-out\n1 invoke cas  [1,2] \n" +
				"nemesis info stop  \"x\" \n"},
		{"numbers, strings and escapes",
			`{:type :ok, :process 1, :f :x, :value [-1 2.5 3N "a\n\"\u00e9" true {:a 1}]}`,
			"1 ok x  [-1,2.5,3,\"a\\n\\\"é\",true,{\"a\":1}] \n"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			h, err := Read(strings.NewReader(tc.file), Options{})
			if tc.want == "" {
				if !errors.Is(err, ErrNotEDN) {
					t.Fatalf("got %v, want no history", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, brief(h)); diff != "" || !h.Complete {
				t.Errorf("complete %v (-want +got):\n%s", h.Complete, diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	file := `{:type :invoke, :process 1, :f :cas, :value [1 2]}
{:type :fail, :process 1, :f :cas, :value [1 2]}
{:type :fail, :process 1, :f :cas, :value [1 2], :error :no-leader}`
	h, err := Read(strings.NewReader(file), Options{Refused: true})
	if err != nil {
		t.Fatal(err)
	}
	want := "1 invoke cas  [1,2] \n1 ok cas  {\"swapped\":false} \n1 fail cas  [1,2] no-leader\n"
	if diff := cmp.Diff(want, brief(h)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadRefuses(t *testing.T) {
	op := "{:type :ok, :process 1, :f :x, :value "
	tests := []struct{ name, file, says string }{
		{"nothing", "", "empty"},
		{"something else", "hello", "no Jepsen history"},
		{"a map that is none", "{:type :ok :process}", "line 1: a map has a key without a value"},
		{"no type", op + "1}\n{:process 1}", "line 2: an operation has no :type"},
		{"a type that is none", "{:type :what, :process 1}", "want invoke"},
		{"not a map", op + "1}\n5", "want a map"},
		{"deep nesting", op + strings.Repeat("[", 1000), "nested more than 100"},
		{"NUL bytes", op + "\x00}", "0x0 has no place"},
		{"invalid UTF-8", op + "\"\xff\"}", "UTF-8"},
		{"a form without end", op + `"` + strings.Repeat("x", maxForm), "longer than 16 MiB"},
		{"an end without a beginning", op + "1}\n}", "without a beginning"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Read(strings.NewReader(tc.file), Options{})
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want it to say %q", err, tc.says)
			}
		})
	}
}

func TestCutShort(t *testing.T) {
	file := "{:type :invoke, :process 1, :f :read, :value nil}\n{:type :ok, :pro"
	h, err := Read(strings.NewReader(file), Options{})
	if err != nil || h.Complete || len(h.Ops) != 1 {
		t.Errorf("got %v, %v; want one operation, not complete", h, err)
	}
}

func TestRoundTrip(t *testing.T) {
	file := `{:index 0, :process 1, :type :invoke, :f :read, :value ["k1" nil], :time 1, :node "n1"}
{:index 1, :process 1, :type :ok, :f :read, :value ["k1" 3], :time 2, :node "n1"}
{:index 2, :process 2, :type :invoke, :f :cas, :value ["k1" [3 4]], :time 3}
{:index 3, :process 2, :type :ok, :f :cas, :value ["k1" [3 4]], :time 4}
{:index 4, :process :nemesis, :type :info, :f :cut, :value {:a [:b "c" nil]}, :time 5}
{:index 5, :process 3, :type :invoke, :f :write, :value ["k1" 7], :time 6}
{:index 6, :process 3, :type :info, :f :write, :value ["k1" 7], :time 7, :error "a \"b\""}
`
	h, err := Read(strings.NewReader(file), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Write(&out, h); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(file, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{:process 0, :type :invoke, :f :cas, :value [1 2], :index 4, :time 5}`))
	f.Add([]byte("INFO  jepsen.util - 0\t:invoke\t:read\tnil\n"))
	f.Add([]byte(`[{:type :ok, :process 1, :f :x, :value [-1 2.5 3N "a\n\"\u00e9" #{1} {:a 1}]}]`))
	f.Fuzz(func(t *testing.T, file []byte) {
		h, err := Read(bytes.NewReader(file), Options{})
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, h); err != nil {
			t.Fatalf("write back: %v", err)
		}
	})
}
