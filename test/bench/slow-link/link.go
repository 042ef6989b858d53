package main

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link is what one direction of a connection is like.
type link struct {
	oneWay time.Duration
	// rate is in bytes per second.
	rate float64
}

const (
	// 2.6 ms of a link of 50 MB/s: many against a pull, few against the wake-ups that they cost.
	chunkBytes = 128 << 10
	// A sleep that was too long is made up for at the next ones, if it was not longer than this. It is all that a connection can
	// carry at once beyond its rate.
	maxDebt = 5 * time.Millisecond
	// What is on its way takes rate x oneWay bytes; more chunks than these are there only when the receiver does not read.
	maxChunksOnTheWay = 64
)

// chunk is on its way until it arrives.
type chunk struct {
	bytes   []byte
	arrives time.Time
}

var buffers = sync.Pool{New: func() any { return new([chunkBytes]byte) }}

// carry copies until src ends, and then ends dst's writing; when dst fails, both are closed. Nothing leaves src before `opens`.
func (l link) carry(dst, src net.Conn, opens time.Time, carried *atomic.Int64) {
	onTheWay := make(chan chunk, maxChunksOnTheWay)
	go func() {
		defer close(onTheWay)
		l.depart(onTheWay, src, opens)
	}()
	for c := range onTheWay {
		time.Sleep(time.Until(c.arrives))
		written, err := dst.Write(c.bytes)
		carried.Add(int64(written))
		buffers.Put((*[chunkBytes]byte)(c.bytes[:chunkBytes]))
		if err != nil {
			dst.Close()
			src.Close()
			for range onTheWay {
			}
			return
		}
	}
	if tcp, ok := dst.(*net.TCPConn); ok {
		// A connection that the other side has ended already needs no end.
		_ = tcp.CloseWrite()
	}
}

// depart reads at the link's rate, so that a fast sender meets a full window, as over a slow link.
func (l link) depart(onTheWay chan<- chunk, src io.Reader, opens time.Time) {
	departs := opens
	for {
		buffer := buffers.Get().(*[chunkBytes]byte)
		n, err := src.Read(buffer[:])
		if n > 0 {
			if earliest := time.Now().Add(-maxDebt); departs.Before(earliest) {
				departs = earliest
			}
			departs = departs.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
			time.Sleep(time.Until(departs))
			onTheWay <- chunk{bytes: buffer[:n], arrives: departs.Add(l.oneWay)}
		}
		if err != nil {
			return
		}
	}
}
