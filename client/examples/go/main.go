// Produces and consumes orders with franz-go.
//
//	orders produce COUNT      sends orders, each under the key of its customer
//	orders consume COUNT      works on that many as a member of the group billing-go
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

const topic = "orders"

func open(options ...kgo.Opt) *kgo.Client {
	broker := os.Getenv("BROKER")
	if broker == "" {
		broker = "127.0.0.1:9092"
	}
	options = append(options, kgo.SeedBrokers(broker), kgo.AllowAutoTopicCreation())
	client, err := kgo.NewClient(options...)
	if err != nil {
		log.Fatal(err)
	}
	return client
}

func produce(count int) {
	// Idempotent by default: what is sent again after a lost answer is stored once, in order.
	client := open()
	defer client.Close()
	for number := 0; number < count; number++ {
		order := &kgo.Record{
			Topic: topic,
			// One key, one partition: a customer's orders stay in order.
			Key:   []byte(fmt.Sprintf("customer-%d", number%3)),
			Value: []byte(fmt.Sprintf(`{"order":%d}`, number)),
			// For the dedup window, whoever sends it again.
			Headers: []kgo.RecordHeader{{Key: "dedup-id", Value: []byte(fmt.Sprintf("order-%d", number))}},
		}
		client.Produce(context.Background(), order, func(_ *kgo.Record, err error) {
			if err != nil {
				log.Fatal("an order was not stored: ", err)
			}
		})
	}
	if err := client.Flush(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(count, "orders are stored")
}

func consume(count int) {
	client := open(kgo.ConsumerGroup("billing-go"), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	defer client.Close()
	done := 0
	for done < count {
		fetches := client.PollFetches(context.Background())
		fetches.EachError(func(topic string, partition int32, err error) {
			log.Fatal(topic, partition, err)
		})
		done += fetches.NumRecords() // the work
		// After the work: what a crash interrupts is given again, to whoever takes over.
		if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(done, "orders are billed")
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("orders produce|consume COUNT")
	}
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if os.Args[1] == "produce" {
		produce(count)
	} else {
		consume(count)
	}
}
