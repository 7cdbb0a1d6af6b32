// Runs franz-go, as it comes, against a broker: franz-go ADDRESS.  It prints one line and ends with
// 0 when all checks held.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var address string

func check(holds bool, format string, values ...any) {
	if !holds {
		log.Fatalf(format, values...)
	}
}

func must[T any](value T, err error) T {
	check(err == nil, "unexpected error: %v", err)
	return value
}

// Warnings of the client go to standard error, where nothing may be.
func client(options ...kgo.Opt) *kgo.Client {
	return must(kgo.NewClient(append(options, kgo.SeedBrokers(address),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)))...))
}

func assigned(topic string, offset kgo.Offset) kgo.Opt {
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: offset}})
}

// That many records, and no more.
func poll(ctx context.Context, consumer *kgo.Client, count int) []*kgo.Record {
	var records []*kgo.Record
	for len(records) < count {
		fetches := consumer.PollFetches(ctx)
		check(fetches.Err() == nil, "poll: %v", fetches.Err())
		records = append(records, fetches.Records()...)
	}
	check(len(records) == count, "%d records, not %d", len(records), count)
	return records
}

func codecs(ctx context.Context, admin *kadm.Client) {
	const count = 2000
	all := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(),
		"zstd": kgo.ZstdCompression()}
	for name, codec := range all {
		topic := "go-" + name
		must(admin.CreateTopic(ctx, 1, 1, nil, topic))
		producer := client(kgo.ProducerBatchCompression(codec))
		sent := make([]*kgo.Record, count)
		for i := range sent {
			sent[i] = &kgo.Record{Topic: topic, Key: []byte(fmt.Sprint(i % 10)),
				Value:   []byte(fmt.Sprintf("%d %0200d", i, i)),
				Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte{byte(i)}}}}
		}
		for _, each := range producer.ProduceSync(ctx, sent...) {
			check(each.Err == nil, "%s: %v", name, each.Err)
		}
		producer.Close()
		consumer := client(assigned(topic, kgo.NewOffset().AtStart()))
		for i, record := range poll(ctx, consumer, count) {
			check(record.Offset == int64(i) &&
				bytes.Equal(record.Value, sent[i].Value) &&
				bytes.Equal(record.Key, sent[i].Key) &&
				bytes.Equal(record.Headers[0].Value, []byte{byte(i)}),
				"%s: record %d is %v", name, i, record)
		}
		consumer.Close()
	}
}

func places(ctx context.Context, admin *kadm.Client) {
	topic := "go-places"
	keep := "-1"
	must(admin.CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": &keep}, topic))
	producer := client(kgo.DefaultProduceTopic(topic))
	defer producer.Close()
	for i := 0; i < 20; i++ {
		record := &kgo.Record{Value: []byte(fmt.Sprint(i)),
			Timestamp: time.UnixMilli(int64(1000 * (i + 1)))}
		check(producer.ProduceSync(ctx, record).FirstErr() == nil, "produce %d", i)
	}
	for _, each := range []struct {
		offset kgo.Offset
		first  int
	}{{kgo.NewOffset().AtStart(), 0}, {kgo.NewOffset().At(7), 7},
		{kgo.NewOffset().AfterMilli(5001), 5}, {kgo.NewOffset().AtEnd().Relative(-3), 17}} {
		consumer := client(assigned(topic, each.offset))
		first := poll(ctx, consumer, 20-each.first)[0]
		check(string(first.Value) == fmt.Sprint(each.first), "%v begins with %s",
			each.offset, first.Value)
		consumer.Close()
	}
	deleted := must(admin.DeleteRecords(ctx, kadm.Offsets{topic: {0: {Topic: topic, At: 7}}}))
	check(deleted[topic][0].LowWatermark == 7, "low watermark %v", deleted)
	check(must(admin.ListStartOffsets(ctx, topic))[topic][0].Offset == 7, "start offset")
	check(must(admin.ListEndOffsets(ctx, topic))[topic][0].Offset == 20, "end offset")
}

func topics(ctx context.Context, admin *kadm.Client) {
	created := must(admin.CreateTopic(ctx, 2, 1, nil, "go-topic"))
	check(created.ID != kadm.TopicID{}, "no topic id")
	_, err := admin.CreateTopic(ctx, 2, 1, nil, "go-topic")
	check(errors.Is(err, kerr.TopicAlreadyExists), "created twice: %v", err)
	must(admin.CreatePartitions(ctx, 3, "go-topic"))
	found := must(admin.ListTopics(ctx, "go-topic"))["go-topic"]
	check(found.Err == nil && len(found.Partitions) == 5 && found.ID == created.ID,
		"described: %v", found)
	must(admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig,
		Name: "retention.ms", Value: kadm.StringPtr("777")}}, "go-topic"))
	configs := must(must(admin.DescribeTopicConfigs(ctx, "go-topic")).On("go-topic", nil))
	seen := false
	for _, each := range configs.Configs {
		seen = seen || each.Key == "retention.ms" && each.MaybeValue() == "777"
	}
	check(seen, "retention.ms is not what was set")
	must(admin.DeleteTopics(ctx, "go-topic"))
	check(!must(admin.ListTopics(ctx)).Has("go-topic"), "still listed")
}

func transactions(ctx context.Context, admin *kadm.Client) {
	topic := "go-transactions"
	must(admin.CreateTopic(ctx, 1, 1, nil, topic))
	producer := client(kgo.DefaultProduceTopic(topic), kgo.TransactionalID("go"))
	defer producer.Close()
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		check(producer.BeginTransaction() == nil, "begin %d", i)
		value := []byte(fmt.Sprint(i))
		err := producer.ProduceSync(ctx, &kgo.Record{Value: value}).FirstErr()
		check(err == nil, "produce %d: %v", i, err)
		check(producer.EndTransaction(ctx, end) == nil, "end %d", i)
	}
	consumer := client(assigned(topic, kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer consumer.Close()
	records := poll(ctx, consumer, 2)
	check(string(records[0].Value) == "0" && string(records[1].Value) == "2",
		"committed: %s and %s", records[0].Value, records[1].Value)
	found := must(admin.DescribeTransactions(ctx, "go"))["go"]
	check(found.Err == nil && found.State == "CompleteCommit" || found.State == "PrepareCommit",
		"described: %v", found)
}

func main() {
	address = os.Args[1]
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	admin := kadm.NewClient(client())
	defer admin.Close()
	codecs(ctx, admin)
	places(ctx, admin)
	topics(ctx, admin)
	transactions(ctx, admin)
	fmt.Println("passed")
}
