package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// chunkBytes is how much is sent at a time.
const chunkBytes = 128 << 10

// Options of Restore.
type Options struct {
	Replicas int // copies of each stream; 0 is as many as it had
	Progress Progress
}

// ErrExists reports that a stream of the copy is on the server already.
var ErrExists = errors.New("the server is not empty")

// Restore puts every stream of a copy into a server that has none of them. Nothing is
// begun before all files were checked. No service may run meanwhile.
func Restore(ctx context.Context, nc *nats.Conn, dir string, o Options) (Manifest, error) {
	m, err := Check(dir)
	if err != nil {
		return m, err
	}
	r := restorer{source{nc}, dir, o}
	there, err := r.streams(ctx)
	if err != nil {
		return m, err
	}
	var taken []string
	for _, s := range m.Streams {
		if slices.Contains(there, s.Name) {
			taken = append(taken, s.Name)
		}
	}
	if len(taken) > 0 {
		return m, fmt.Errorf("%w: it has %s; restore into an empty server, nothing was changed", ErrExists, strings.Join(taken, ", "))
	}
	for i := range m.Streams {
		begun := time.Now()
		if err := r.restore(ctx, &m.Streams[i]); err != nil {
			return m, fmt.Errorf("restore %s (%d of %d streams are done): %w", m.Streams[i].Name, i, len(m.Streams), err)
		}
		if o.Progress != nil {
			o.Progress(m.Streams[i], time.Since(begun))
		}
	}
	return m, nil
}

type restorer struct {
	source
	dir string
	o   Options
}

func (r *restorer) restore(ctx context.Context, s *Stream) error {
	file, err := os.Open(filepath.Join(r.dir, s.File))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	in, err := openArchive(file)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	config, err := r.config(s)
	if err != nil {
		return err
	}
	question := struct {
		Config contract.Raw `json:"config"`
		State  state        `json:"state"`
	}{config, in.state}
	var answer struct {
		Deliver string `json:"deliver_subject"`
	}
	if err := r.ask(ctx, "STREAM.RESTORE."+s.Name, question, &answer); err != nil {
		return err
	}
	return r.send(ctx, file, answer.Deliver)
}

// config is the stream's, with the number of copies that is wanted now.
func (r *restorer) config(s *Stream) (contract.Raw, error) {
	if r.o.Replicas == 0 || r.o.Replicas == s.Replicas {
		return s.Config, nil
	}
	config, err := withReplicas(s.Config, r.o.Replicas)
	if err != nil {
		return nil, fmt.Errorf("its configuration: %w", err)
	}
	return config, nil
}

// send hands the file on in pieces; each is answered, the last, which is empty, once
// the stream stands.
func (r *restorer) send(ctx context.Context, file io.Reader, subject string) error {
	buffer := make([]byte, chunkBytes)
	for {
		n, err := io.ReadFull(file, buffer)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		over := err != nil
		if n > 0 {
			if err := r.piece(ctx, subject, buffer[:n]); err != nil {
				return err
			}
		}
		if over {
			return r.piece(ctx, subject, nil)
		}
	}
}

func (r *restorer) piece(ctx context.Context, subject string, data []byte) error {
	limit := stalled
	if len(data) == 0 {
		limit = 10 * time.Minute // the server builds its index
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := r.nc.RequestWithContext(ctx, subject, data)
	if err != nil {
		return fmt.Errorf("the server stopped taking it: %w", err)
	}
	if len(answer.Data) == 0 {
		return nil
	}
	var head struct {
		Error *apiError `json:"error"`
	}
	if err := contract.UnmarshalLenient(answer.Data, &head); err != nil {
		return err
	}
	if head.Error != nil {
		return head.Error
	}
	return nil
}
