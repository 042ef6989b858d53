// Command slow-link is a TCP proxy that makes a fast link slow: every connection has a round trip of its own length and a rate of its
// own in each direction. It knows nothing of what it carries.
//
//	slow-link -target HOST:PORT [-rtt 20ms] [-rate BYTES-PER-SECOND]
//
// It prints {"proxy":"HOST:PORT","counts":"HOST:PORT"} when it serves; the second address answers any HTTP request with what was
// carried so far, as JSON.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// counts is what all connections carried together.
type counts struct {
	// Down is in bytes, delivered to clients.
	Down atomic.Int64
	// Up is in bytes, delivered to the target.
	Up          atomic.Int64
	Connections atomic.Int64
	Open        atomic.Int64
}

func (c *counts) ServeHTTP(answer http.ResponseWriter, _ *http.Request) {
	answer.Header().Set("Content-Type", "application/json")
	// A client that went away asks again.
	_ = json.NewEncoder(answer).Encode(map[string]int64{
		"down":        c.Down.Load(),
		"up":          c.Up.Load(),
		"connections": c.Connections.Load(),
		"open":        c.Open.Load(),
	})
}

func main() {
	target := flag.String("target", "", "where connections go")
	rtt := flag.Duration("rtt", 20*time.Millisecond, "round trip; half of it each way")
	rate := flag.Float64("rate", 50e6, "bytes per second, of each connection and direction")
	flag.Parse()
	if err := serve(*target, link{oneWay: *rtt / 2, rate: *rate}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(target string, link link) error {
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var counts counts
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(admin, &counts) }()
	go func() { failed <- acceptAll(proxy, target, link, &counts) }()
	fmt.Printf("{\"proxy\":%q,\"counts\":%q}\n", proxy.Addr(), admin.Addr())
	return <-failed
}

func acceptAll(listener net.Listener, target string, link link, counts *counts) error {
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		accepted := time.Now()
		counts.Connections.Add(1)
		counts.Open.Add(1)
		go func() {
			defer counts.Open.Add(-1)
			defer client.Close()
			server, err := net.Dial("tcp", target)
			if err != nil {
				return
			}
			defer server.Close()
			done := make(chan struct{})
			go func() {
				defer close(done)
				// The kernel has shaken hands at once; over the link that takes a round trip, and only then can a client speak.
				link.carry(server, client, accepted.Add(2*link.oneWay), &counts.Up)
			}()
			link.carry(client, server, accepted, &counts.Down)
			<-done
		}()
	}
}
