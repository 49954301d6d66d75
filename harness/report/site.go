package report

import (
	"bytes"
	"cmp"
	_ "embed" // for the parts of the page
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
)

//go:embed site.html
var siteHTML string

// siteRuns is how many runs one page lists. What else there is can be searched for.
const siteRuns = 200

// Site shows all runs of a store in a browser: a list that can be searched and filtered, and each
// run's own page and files. It reads the store at every request, so that new runs appear, and
// writes nothing.
type Site struct {
	// Store is the store directory. An [os.Root]'s FS keeps links from leading out of it.
	Store fs.FS
	// Public answers under any host name. Otherwise only requests to this machine's own names are
	// answered, so that no page on the web can read the runs through somebody's browser.
	Public bool
	Log    *slog.Logger
}

// Handler makes the site's handler. Requests may be served concurrently.
func (s Site) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.list)
	mux.HandleFunc("GET /run/{id}/{file...}", s.file)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !s.Public && !local(req.Host) {
			http.Error(w, "this is served to this machine only", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; "+
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		mux.ServeHTTP(w, req)
	})
}

// local says whether a request's host means this machine.
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// siteRun is one line of the list.
type siteRun struct {
	*Report
	ID                   string
	Headline, Tone, Mark string
	Because, When        string
	HasPage              bool
}

// sitePage is what the list's template is executed on.
type sitePage struct {
	CSS                    template.CSS
	Runs                   []siteRun
	All, Cut               int
	Query, Verdict         string
	Workload, Fault        string
	System                 string
	Verdicts               []string
	Workloads, Faults, Sys []string
	// Trend is a bar for each run, the earliest at the left; Most is the height of the highest.
	Trend []bar
	Most  float64
}

// list shows the runs, the latest first.
func (s Site) list(w http.ResponseWriter, req *http.Request) {
	runs, err := s.runs()
	if err != nil {
		s.fail(w, req, err)
		return
	}
	q := req.URL.Query()
	p := sitePage{
		CSS: template.CSS(pageCSS), All: len(runs), Query: q.Get("q"), Verdict: q.Get("verdict"),
		Workload: q.Get("workload"), Fault: q.Get("fault"), System: q.Get("system"),
		Verdicts: []string{"VALID", "INVALID", "UNKNOWN", "HARNESS FAILURE", "NO VERDICT"},
	}
	for _, r := range runs {
		p.Workloads = append(p.Workloads, r.Run.Workload)
		p.Sys = append(p.Sys, r.Run.System)
		p.Faults = append(p.Faults, r.Run.Faults...)
	}
	p.Workloads, p.Sys, p.Faults = distinct(p.Workloads), distinct(p.Sys), distinct(p.Faults)
	runs = slices.DeleteFunc(runs, func(r siteRun) bool { return !p.wants(r) })
	p.trend(runs)
	p.Cut = max(len(runs)-siteRuns, 0)
	p.Runs = runs[:len(runs)-p.Cut]
	t, err := template.New("site").Funcs(template.FuncMap{"human": human, "list": list}).
		Parse(siteHTML)
	if err != nil {
		s.fail(w, req, err)
		return
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		s.fail(w, req, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	s.send(w, req, b.Bytes())
}

// wants says whether r is what was asked for. Every word of the query must stand in what is told
// of the run.
func (p *sitePage) wants(r siteRun) bool {
	if p.Verdict != "" && r.Headline != p.Verdict ||
		p.Workload != "" && r.Run.Workload != p.Workload ||
		p.System != "" && r.Run.System != p.System ||
		p.Fault != "" && !slices.Contains(r.Run.Faults, p.Fault) {
		return false
	}
	text := strings.ToLower(strings.Join([]string{r.ID, r.Headline, r.Because, r.Run.Workload,
		r.Run.System, r.Run.Image, list(r.Run.Faults), fmt.Sprint("seed ", r.Run.Seed)}, " "))
	for word := range strings.FieldsSeq(strings.ToLower(p.Query)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// trend draws the throughput of the runs, the earliest at the left, in the colour of the verdict.
func (p *sitePage) trend(runs []siteRun) {
	const most = 120
	shown := runs[:min(len(runs), most)]
	for _, r := range shown {
		p.Most = max(p.Most, r.Figures.Rate)
	}
	if p.Most == 0 || len(shown) < 2 {
		return
	}
	for _, r := range slices.Backward(shown) {
		p.Trend = append(p.Trend, bar{
			A: int64(r.Figures.Rate / p.Most * 100), Class: r.Tone, Text: r.ID,
			Hint: fmt.Sprintf("%s: %s, %.1f ok a second, p99 %s", r.ID, r.Headline,
				r.Figures.Rate, human(r.Figures.Total.P99)),
		})
	}
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(s string) bool { return s == "" })
}

// runs reads what the store tells of its runs, the latest first. A run that is going on, or was
// killed, has no report yet.
func (s Site) runs() ([]siteRun, error) {
	entries, err := fs.ReadDir(s.Store, ".")
	if err != nil {
		return nil, fmt.Errorf("list the runs: %w", err)
	}
	var runs []siteRun
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if r, ok := s.read(e.Name()); ok {
			runs = append(runs, r)
		}
	}
	slices.SortFunc(runs, func(a, b siteRun) int {
		return cmp.Or(b.Run.Started.Compare(a.Run.Started), cmp.Compare(b.ID, a.ID))
	})
	return runs, nil
}

func (s Site) read(id string) (siteRun, bool) {
	has := func(name string) bool {
		_, err := fs.Stat(s.Store, path.Join(id, name))
		return err == nil
	}
	if !has("history.jsonl") && !has("history.jsonl.zst") {
		return siteRun{}, false
	}
	r := siteRun{ID: id, Report: &Report{}, HasPage: has("report.html")}
	b, err := fs.ReadFile(s.Store, path.Join(id, "report.json"))
	if err == nil {
		err = json.Unmarshal(b, r.Report)
	}
	if err != nil {
		r.Headline, r.Because = "NO VERDICT", "the run is going on, or was killed"
		if !errors.Is(err, fs.ErrNotExist) {
			r.Because = "report.json: " + err.Error()
		}
		r.Tone, r.Mark = tone(check.NotObservable)
		stamp, _, _ := strings.Cut(id, "-")
		if t, err := time.Parse("20060102T150405Z", stamp); err == nil {
			r.Run.Started = t
		}
	} else {
		r.Headline, r.Because = r.headline(), strings.Join(r.why(), "; ")
		r.Tone, r.Mark = tone(r.Verdict)
	}
	if !r.Run.Started.IsZero() {
		r.When = r.Run.Started.UTC().Format("2006-01-02 15:04")
	}
	return r, true
}

// siteFiles are the files of a run that are shown, with their types. Nothing of a run is run by the
// browser but its page, whose own policy lets only our script run.
var siteFiles = map[string]string{
	"report.html": "text/html; charset=utf-8",
	"report.json": "application/json", "verdict.json": "application/json",
	"config.json": "application/json", "schedule.json": "application/json",
	"report.txt": "text/plain; charset=utf-8", "junit.xml": "text/plain; charset=utf-8",
	"raftcheck.log": "text/plain; charset=utf-8", "history.jsonl": "text/plain; charset=utf-8",
}

// file sends one file of a run; without a name its page.
func (s Site) file(w http.ResponseWriter, req *http.Request) {
	name := orElse(req.PathValue("file"), "report.html")
	kind, ok := siteFiles[name]
	if dir, base := path.Split(name); dir == "nodes/" && strings.HasSuffix(base, ".log") {
		kind, ok = "text/plain; charset=utf-8", true
	}
	full := path.Join(req.PathValue("id"), name)
	if !ok || !fs.ValidPath(full) || strings.HasPrefix(full, ".") {
		http.NotFound(w, req)
		return
	}
	f, err := s.Store.Open(full)
	if errors.Is(err, fs.ErrNotExist) {
		http.NotFound(w, req)
		return
	}
	if err != nil {
		s.fail(w, req, err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	seeker, canSeek := f.(interface {
		fs.File
		Seek(offset int64, whence int) (int64, error)
	})
	if err != nil || !canSeek || !info.Mode().IsRegular() {
		s.fail(w, req, errors.Join(err, fmt.Errorf("%s is no plain file", full)))
		return
	}
	w.Header().Set("Content-Type", kind)
	if name == "report.html" {
		// The page brings a policy that names its script by hash.
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
	}
	http.ServeContent(w, req, "", info.ModTime(), seeker)
}

func (s Site) fail(w http.ResponseWriter, req *http.Request, err error) {
	s.Log.Error("serve", "path", req.URL.Path, "error", err)
	http.Error(w, "the store can not be read: "+err.Error(), http.StatusInternalServerError)
}

func (s Site) send(w http.ResponseWriter, req *http.Request, b []byte) {
	if _, err := w.Write(b); err != nil {
		s.Log.Debug("serve", "path", req.URL.Path, "error", err)
	}
}
