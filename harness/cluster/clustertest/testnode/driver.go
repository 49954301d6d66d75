package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// runDriver answers each line of in with one line: "echo TEXT" with the text, "dial ADDR" with
// "connected" or the error, "send ADDR TEXT" with what came back for the text.
func runDriver(ctx context.Context, in io.Reader, out io.Writer) error {
	sc := bufio.NewScanner(in)
	for ctx.Err() == nil && sc.Scan() {
		verb, rest, _ := strings.Cut(sc.Text(), " ")
		var answer string
		switch verb {
		case "echo":
			answer = rest
		case "dial":
			answer = dial(rest, "")
		case "send":
			addr, text, _ := strings.Cut(rest, " ")
			answer = dial(addr, text)
		default:
			return fmt.Errorf("driver: %q: want echo, dial or send", sc.Text())
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return err
		}
	}
	return sc.Err()
}

func dial(addr, text string) string {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "error: " + err.Error()
	}
	defer conn.Close()
	if text == "" {
		return "connected"
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintln(conn, text); err != nil {
		return "error: " + err.Error()
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "error: " + err.Error()
	}
	return strings.TrimSpace(line)
}
