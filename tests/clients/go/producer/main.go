// Produces with franz-go until SIGTERM; the options are those of members/producer.py.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"sluice/tests/clients/go/events"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	step       = 20 * time.Millisecond
	valueBytes = 100
)

var (
	brokers    = flag.String("brokers", "", "")
	topics     = flag.String("topics", "", "")
	partitions = flag.Int("partitions", 1, "")
	name       = flag.String("name", "", "")
	path       = flag.String("log", "", "")
	rate       = flag.Int("rate", 500, "records a second")
	dedup      = flag.String("dedup", "", "prefix of message ids; else it is idempotent")
)

type producer struct {
	client *kgo.Client
	log    *events.Log
	topics []string
	number int
}

// It never gives up, and where the broker refuses a sequence it fails and does not begin anew.
// An idempotent one of this library has one request in flight.
func (p *producer) connect() {
	var more []kgo.Opt
	if *dedup != "" {
		more = append(more, kgo.DisableIdempotentWrite(),
			kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	client, err := kgo.NewClient(append(more, kgo.SeedBrokers(*brokers), kgo.ClientID(*name),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.StopProducerOnDataLossDetected(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.ProduceRequestTimeout(2*time.Second),
		kgo.RequestTimeoutOverhead(time.Second), kgo.MaxBufferedRecords(10**rate),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.UnknownTopicRetries(-1),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelError, nil)))...)
	if err != nil {
		log.Fatal(err)
	}
	p.client = client
}

func (p *producer) send() {
	id := fmt.Sprintf("%s:%d", *name, p.number)
	text := id + " "
	record := &kgo.Record{
		Topic:     p.topics[p.number%len(p.topics)],
		Partition: int32(p.number / len(p.topics) % *partitions),
		Key:       []byte(fmt.Sprintf("k%d", p.number%50)),
		Value:     []byte(text + strings.Repeat("x", valueBytes-len(text)))}
	sent := events.Event{"event": "sent", "id": id, "topic": record.Topic,
		"partition": record.Partition, "hash": events.Hash(record)}
	if *dedup != "" {
		messageID := fmt.Sprintf("%s:%d", *dedup, p.number)
		record.Headers = []kgo.RecordHeader{{Key: "dedup-id", Value: []byte(messageID)}}
		sent["dedup"] = messageID
	}
	p.number++
	p.log.Write(sent)
	// Waits where as many as MaxBufferedRecords are under way.
	p.client.Produce(context.Background(), record, func(stored *kgo.Record, err error) {
		if err != nil {
			p.log.Write(events.Event{"event": "failed", "id": id, "error": err.Error(),
				"definite": false})
			return
		}
		p.log.Write(events.Event{"event": "acked", "id": id, "offset": stored.Offset,
			"partition": stored.Partition})
	})
}

func (p *producer) run(ctx context.Context) {
	for ctx.Err() == nil {
		for i := 0; i < max(1, *rate*int(step/time.Millisecond)/1000); i++ {
			p.send()
		}
		time.Sleep(step)
	}
	if err := p.client.Flush(context.Background()); err != nil {
		log.Fatal(err)
	}
	p.client.Close()
	p.log.Write(events.Event{"event": "stop"})
}

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	p := &producer{log: events.Open(*path), topics: events.List(*topics)}
	p.log.Write(events.Event{"event": "start", "client": *name, "acks": "all",
		"idempotent": *dedup == "", "in_flight": 1})
	p.connect()
	p.run(ctx)
}
