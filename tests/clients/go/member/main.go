// A member of a group with franz-go; the options are those of members/event_log.py.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sluice/tests/clients/go/events"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What a broker says to a member that it does not count as one in this generation.
var refusals = []error{kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RebalanceInProgress,
	kerr.FencedInstanceID}

var (
	brokers  = flag.String("brokers", "", "")
	group    = flag.String("group", "", "")
	topics   = flag.String("topics", "", "")
	name     = flag.String("name", "", "")
	path     = flag.String("log", "", "")
	protocol = flag.String("protocol", "classic", "classic alone")
	assignor = flag.String("assignor", "range", "range or cooperative")
	instance = flag.String("instance", "", "")
	commits  = flag.String("commit", "sync", "sync or none")
	session  = flag.Int("session-ms", 6000, "")
	after    = flag.String("after", "", "")
)

type member struct {
	client *kgo.Client
	owner  events.Owner
}

func (m *member) assigned(_ context.Context, client *kgo.Client, added map[string][]int32) {
	m.owner.Change(client, added, true)
}

func (m *member) revoked(_ context.Context, client *kgo.Client, taken map[string][]int32) {
	m.owner.Change(client, taken, false)
}

func (m *member) lost(_ context.Context, client *kgo.Client, taken map[string][]int32) {
	m.owner.Lost(client, taken)
}

func (m *member) start() {
	event := events.Event{"event": "start", "client": *name, "library": "franz-go",
		"group": *group, "topics": events.List(*topics), "protocol": *protocol,
		"assignor": *assignor, "commit": "after", "after": events.List(*after)}
	if *commits == "none" {
		event["commit"] = "none"
	}
	m.owner.Log.Write(event)
}

func (m *member) connect() {
	balancer := kgo.RangeBalancer()
	if *assignor == "cooperative" {
		balancer = kgo.CooperativeStickyBalancer()
	}
	timeout := time.Duration(*session) * time.Millisecond
	options := []kgo.Opt{kgo.SeedBrokers(*brokers), kgo.ClientID(*name),
		kgo.ConsumerGroup(*group), kgo.ConsumeTopics(events.List(*topics)...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(balancer),
		kgo.SessionTimeout(timeout), kgo.HeartbeatInterval(timeout / 10),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.OnPartitionsAssigned(m.assigned),
		kgo.OnPartitionsRevoked(m.revoked), kgo.OnPartitionsLost(m.lost),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelError, nil))}
	if *instance != "" {
		options = append(options, kgo.InstanceID(*instance))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		log.Fatal(err)
	}
	m.client = client
}

func (m *member) commit(records []*kgo.Record, positions []events.Row) {
	_, generation := m.client.GroupMetadata()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := m.client.CommitRecords(ctx, records...)
	event := events.Event{"event": "committed", "group": *group, "offsets": positions,
		"result": "ok", "generation": generation}
	if err != nil {
		event["result"], event["error"] = "unknown", err.Error()
	}
	for _, each := range refusals {
		if errors.Is(err, each) {
			event["result"] = "refused"
		}
	}
	m.owner.Log.Write(event)
}

func (m *member) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := m.client.PollRecords(wait, 500)
		cancel()
		positions := m.owner.Log.Fetched(fetches)
		if len(positions) > 0 && *commits != "none" {
			m.commit(fetches.Records(), positions)
		}
		m.client.AllowRebalance()
	}
	m.client.CloseAllowingRebalance()
	m.owner.Log.Write(events.Event{"event": "stop"})
}

func main() {
	flag.Parse()
	if *protocol != "classic" || *commits == "async" {
		log.Fatalf("no protocol %s and commit %s here", *protocol, *commits)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	m := &member{owner: events.Owner{Log: events.Open(*path), Group: *group, Instance: *instance}}
	m.start()
	m.connect()
	m.run(ctx)
}
