// Makes records from others in transactions with franz-go; the options are those of
// transformer_parser in members/event_log.py.
package main

import (
	"context"
	"encoding/json"
	"errors"
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
	batch      = 100
	valueBytes = 200
	fencedCode = 3
)

var (
	brokers    = flag.String("brokers", "", "")
	group      = flag.String("group", "", "")
	topics     = flag.String("topics", "", "")
	name       = flag.String("name", "", "")
	path       = flag.String("log", "", "")
	protocol   = flag.String("protocol", "classic", "classic alone")
	assignor   = flag.String("assignor", "range", "range or cooperative")
	session    = flag.Int("session-ms", 6000, "")
	output     = flag.String("output", "", "the other topic")
	partitions = flag.Int("partitions", 1, "of the output")
	id         = flag.String("transactional-id", "", "")
	timeout    = flag.Int("transaction-timeout-ms", 10000, "")
	abortEvery = flag.Int("abort-every", 0, "one of so many transactions")
)

var errAtItsEnd = errors.New("its producer can do nothing more")

type transformer struct {
	session              *kgo.GroupTransactSession
	owner                events.Owner
	number, transactions int
}

func (t *transformer) write(event events.Event) { t.owner.Log.Write(event) }

func (t *transformer) start() {
	t.write(events.Event{"event": "start", "client": *name, "library": "franz-go",
		"group": *group, "topics": events.List(*topics), "protocol": *protocol,
		"assignor": *assignor, "commit": "after", "isolation": "read_committed",
		"acks": "all", "idempotent": true, "in_flight": 1})
}

func (t *transformer) connect() error {
	balancer := kgo.RangeBalancer()
	if *assignor == "cooperative" {
		balancer = kgo.CooperativeStickyBalancer()
	}
	missed := time.Duration(*session) * time.Millisecond
	var err error
	t.session, err = kgo.NewGroupTransactSession(kgo.SeedBrokers(*brokers), kgo.ClientID(*name),
		kgo.TransactionalID(*id),
		kgo.TransactionTimeout(time.Duration(*timeout)*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ConsumerGroup(*group), kgo.ConsumeTopics(events.List(*topics)...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(balancer),
		kgo.SessionTimeout(missed), kgo.HeartbeatInterval(missed/10),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.OnPartitionsAssigned(t.assigned), kgo.OnPartitionsRevoked(t.revoked),
		kgo.OnPartitionsLost(t.lost),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelError, nil)))
	return err
}

func (t *transformer) assigned(_ context.Context, client *kgo.Client, added map[string][]int32) {
	t.owner.Change(client, added, true)
}

func (t *transformer) revoked(_ context.Context, client *kgo.Client, taken map[string][]int32) {
	t.owner.Change(client, taken, false)
}

func (t *transformer) lost(_ context.Context, client *kgo.Client, taken map[string][]int32) {
	t.owner.Lost(client, taken)
}

func (t *transformer) transform(records []*kgo.Record, positions []events.Row) error {
	t.transactions++
	t.write(events.Event{"event": "begun"})
	if err := t.session.Begin(); err != nil {
		t.write(events.Event{"event": "ended", "result": "unknown", "error": err.Error()})
		return errAtItsEnd
	}
	var answers []events.Event
	made := make(chan events.Event, len(records))
	for _, each := range records {
		t.send(each, made)
	}
	failed := t.session.Client().Flush(context.Background()) != nil
	for range records {
		answer := <-made
		failed = failed || answer["event"] == "failed"
		answers = append(answers, answer)
	}
	for _, each := range answers {
		t.write(each)
	}
	return t.end(positions, !failed && (*abortEvery == 0 || t.transactions%*abortEvery != 0))
}

func (t *transformer) send(source *kgo.Record, made chan<- events.Event) {
	name := fmt.Sprintf("%s:%d", *name, t.number)
	of := events.Row{source.Topic, source.Partition, source.Offset}
	list, _ := json.Marshal(of)
	text := fmt.Sprintf("%s %s %s ", name, list, events.ID(source))
	record := &kgo.Record{Topic: *output, Partition: int32(t.number % *partitions),
		Key: source.Key, Value: []byte(text + strings.Repeat("x", valueBytes-len(text)))}
	t.number++
	t.write(events.Event{"event": "sent", "id": name, "topic": *output,
		"partition": record.Partition, "hash": events.Hash(record), "of": of})
	t.session.Produce(context.Background(), record, func(stored *kgo.Record, err error) {
		if err != nil {
			made <- events.Event{"event": "failed", "id": name, "error": err.Error(),
				"definite": false}
			return
		}
		made <- events.Event{"event": "acked", "id": name, "offset": stored.Offset,
			"partition": stored.Partition}
	})
}

// The session sends the offsets of what was polled by itself, and aborts where it was rebalanced.
func (t *transformer) end(positions []events.Row, commit bool) error {
	_, generation := t.session.Client().GroupMetadata()
	if commit {
		t.write(events.Event{"event": "offsets", "group": *group, "offsets": positions,
			"generation": generation})
	}
	t.write(events.Event{"event": "ending", "commit": commit})
	committed, err := t.session.End(context.Background(), kgo.TransactionEndTry(commit))
	event := events.Event{"event": "ended", "result": "aborted"}
	if err != nil {
		event["result"], event["error"] = "unknown", err.Error()
	} else if committed {
		event["result"] = "committed"
	}
	t.write(event)
	if err != nil {
		return fmt.Errorf("%w: %w", errAtItsEnd, err)
	}
	if !committed {
		t.owner.Anew(t.session.Client())
	}
	return nil
}

func (t *transformer) run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := t.session.PollRecords(wait, batch)
		cancel()
		positions := t.owner.Log.Fetched(fetches)
		if len(positions) == 0 {
			continue
		}
		if err := t.transform(fetches.Records(), positions); err != nil {
			return err
		}
	}
	t.session.Close()
	t.write(events.Event{"event": "stop"})
	return nil
}

func main() {
	flag.Parse()
	if *protocol != "classic" {
		log.Fatalf("no protocol %s here", *protocol)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	t := &transformer{owner: events.Owner{Log: events.Open(*path), Group: *group, Untold: true}}
	t.start()
	if err := t.connect(); err != nil {
		log.Fatal(err)
	}
	if err := t.run(ctx); err != nil {
		log.Print(err)
		os.Exit(fencedCode)
	}
}
