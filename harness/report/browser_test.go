//go:build unix

package report_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browser is a headless Chromium, spoken to in its DevTools protocol over two pipes: JSON messages
// that end in a zero byte.
type browser struct {
	t       *testing.T
	in      io.Writer
	out     *bufio.Reader
	session string
	id      int
	// complaints are what the page put on its console as an error.
	complaints []string
}

// startBrowser starts Chromium, or skips the test where there is none.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium here")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	// Not a t.TempDir: a process of Chromium may still write as the directory is removed, and that
	// says nothing about our pages.
	profile, err := os.MkdirTemp("", "raftcheck-browser-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	args := []string{"--headless", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
		"--user-data-dir=" + profile, "--disable-dev-shm-usage"}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox")
	}
	cmd := exec.CommandContext(ctx, path, append(args, "about:blank")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // its descriptors 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	t.Cleanup(func() {
		cancel() // it has nothing to save
		_ = cmd.Wait()
		_, _ = in.Close(), out.Close()
	})
	b := &browser{t: t, in: in, out: bufio.NewReader(out)}
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true},
		&session)
	b.session = session.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

type message struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct{ Message string }
}

// call sends a command and waits for its answer, noting what else comes.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.id++
	msg := map[string]any{"id": b.id, "method": method, "params": params}
	if params == nil {
		msg["params"] = struct{}{}
	}
	if b.session != "" {
		msg["sessionId"] = b.session
	}
	raw, err := json.Marshal(msg)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(raw, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	b.await(func(m message) bool {
		if m.ID != b.id {
			return false
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
		return true
	})
}

// await reads messages until done says so.
func (b *browser) await(done func(message) bool) {
	b.t.Helper()
	for {
		raw, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("the browser is gone: %v", err)
		}
		var m message
		if err := json.Unmarshal(raw[:len(raw)-1], &m); err != nil {
			b.t.Fatal(err)
		}
		switch {
		case m.Method == "Runtime.exceptionThrown":
			b.complaints = append(b.complaints, string(m.Params))
		case m.Method == "Log.entryAdded" && strings.Contains(string(m.Params), `"error"`):
			b.complaints = append(b.complaints, string(m.Params))
		}
		if done(m) {
			return
		}
	}
}

// open shows a page at a width, in the dark or not, and waits until it has loaded.
func (b *browser) open(url string, wide int, dark bool) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": wide, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
	scheme := map[bool]string{true: "dark", false: "light"}[dark]
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{
		map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.await(func(m message) bool { return m.Method == "Page.loadEventFired" })
}

// eval evaluates an expression in the page; the policy of the page does not bind it.
func (b *browser) eval(expression string, result any) {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{
		"expression": expression, "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(answer.Result.Value, result); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

func (b *browser) number(expression string) (n float64) {
	b.t.Helper()
	b.eval(expression, &n)
	return n
}

// page renders a run into a file, and gives its URL.
func page(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".html")
	if err := os.WriteFile(file, render(t, runs[name](t), renderings["html"]), 0o644); err != nil {
		t.Fatal(err)
	}
	return "file://" + file
}

func TestEveryPageOpensInABrowserWithoutComplaint(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	b := startBrowser(t)
	for name := range runs {
		url := page(t, name)
		for _, wide := range []int{1280, 360} {
			for _, dark := range []bool{false, true} {
				b.open(url, wide, dark)
				what := fmt.Sprintf("%s at %d, dark %v", name, wide, dark)
				var headline string
				b.eval(`document.querySelector("h1").textContent`, &headline)
				if headline == "" {
					t.Errorf("%s: no headline", what)
				}
				over := b.number(`document.documentElement.scrollWidth - innerWidth`)
				if over > 0 {
					t.Errorf("%s: it is %g pixels wider than the screen", what, over)
				}
				bright := b.number(`+getComputedStyle(document.body).backgroundColor.match(/\d+/)[0]`)
				if dark != (bright < 128) {
					t.Errorf("%s: the background's red is %g", what, bright)
				}
				b.screenshot(what)
			}
		}
	}
	for _, c := range b.complaints {
		t.Error(c)
	}
	if n := b.number(`document.querySelectorAll("img").length`); n != 0 {
		t.Errorf("a value became %g images", n)
	}
}

// screenshot fails if the page is of one colour only: a compressed picture of nothing is small.
func (b *browser) screenshot(what string) {
	b.t.Helper()
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil || len(png) < 5000 {
		b.t.Errorf("%s: the screenshot has %d bytes, %v", what, len(png), err)
	}
}

func TestTheTimeLineFiltersZoomsAndJumps(t *testing.T) {
	b := startBrowser(t)
	b.open(page(t, "stale"), 1280, false)
	const ops = `document.querySelectorAll(".op:not([hidden])").length`
	const span = `+document.querySelector(".line").style.getPropertyValue("--span")`
	pick := func(key string) {
		b.eval(`(() => { const f = document.querySelector(".filter"); f.value = "`+key+`";
			f.dispatchEvent(new Event("change")); })()`, nil)
	}

	one := b.number(ops)
	pick("")
	all := b.number(ops)
	if one < 2 || all <= one {
		t.Errorf("one key shows %g operations, all keys %g", one, all)
	}
	pick("k3")
	if again := b.number(ops); again != one {
		t.Errorf("back to one key: got %g operations want %g", again, one)
	}

	before := b.number(span)
	b.eval(`document.querySelector("[data-zoom='0.5']").click()`, nil)
	if after := b.number(span); after >= before {
		t.Errorf("zooming in: from %g to %g microseconds", before, after)
	}
	b.eval(`document.querySelector("[data-zoom='0']").click()`, nil)
	whole := b.number(`+document.querySelector(".line").dataset.span`)
	if after := b.number(span); after != whole {
		t.Errorf("the whole: got %g want %g microseconds", after, whole)
	}

	b.eval(`document.querySelector(".refs a").click()`, nil)
	b.eval(`new Promise(done => requestAnimationFrame(done))`, nil)
	var hint string
	b.eval(`document.querySelector(".tell").textContent`, &hint)
	if on := b.number(`document.querySelectorAll(".op.on.evidence").length`); on != 1 ||
		!strings.Contains(hint, "write 77002") {
		t.Errorf("a jump to the evidence: %g marked, told %q", on, hint)
	}

	b.eval(`document.querySelector("#charts .plot").dispatchEvent(
		new PointerEvent("pointermove", {clientX: 700}))`, nil)
	var readout string
	b.eval(`document.getElementById("readout").textContent`, &readout)
	if !strings.Contains(readout, "ok/s") {
		t.Errorf("the chart under the pointer: %q", readout)
	}
	for _, c := range b.complaints {
		t.Error(c)
	}
}
