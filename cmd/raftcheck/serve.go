package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness/config"
	"github.com/raftcheck/raftcheck/harness/report"
)

func serveCmd() *cobra.Command {
	storeDir, listen := config.Default().Store, "127.0.0.1:8642"
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "All runs in a browser",
		Long: "All runs of a store in a browser, until interrupted. Only this machine is answered, " +
			"unless\n--listen names an address that others reach.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := os.OpenRoot(storeDir)
			if err != nil {
				return exit{exitUsage, hinted{err, "--store names the directory of all runs"}}
			}
			defer root.Close()
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return exit{exitUsage, hinted{err, "--listen 127.0.0.1:0 takes any free port"}}
			}
			addr, err := netip.ParseAddrPort(l.Addr().String())
			site := report.Site{
				Store: root.FS(), Public: err == nil && !addr.Addr().IsLoopback(),
				Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)),
			}
			fmt.Fprintf(cmd.OutOrStdout(), "http://%s\n", l.Addr())
			return failure(serve(cmd.Context(), l, site.Handler()))
		},
	}
	cmd.Flags().StringVar(&storeDir, "store", storeDir, "directory of all runs")
	cmd.Flags().StringVar(&listen, "listen", listen, "address to listen on")
	return cmd
}

// serve answers until ctx is done; being told to stop is no error.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx) // whoever still reads is cut off with the process
	})
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
