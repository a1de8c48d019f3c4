package catalog

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/idem"
	"github.com/ordermesh/ordermesh/services/catalog/domain"
)

func (s *Service) put(ctx context.Context, req catalog.PutProduct) (catalog.Product, error) {
	id, err := idem.Command(telemetry.ActorFrom(ctx), catalog.Put.Info(), telemetry.CommandFrom(ctx), req)
	if err != nil {
		return catalog.Product{}, err
	}
	p, version, err := s.products.Do(ctx, req.SKU, id, domain.Put{
		Name: req.Name, Price: req.Price.Amount(), Active: req.Active == nil || *req.Active,
	})
	if err != nil {
		return catalog.Product{}, err
	}
	s.reading.Changed(req.SKU, version) // who asks this instance next reads what was put
	return productView(req.SKU, p, version), nil
}

func (s *Service) get(ctx context.Context, req catalog.GetProduct) (catalog.Product, error) {
	read := s.reading.Get
	if req.Current {
		read = s.reading.Current
	}
	p, version, err := read(ctx, req.SKU)
	switch {
	case err != nil:
		return catalog.Product{}, err
	case version < req.MinVersion:
		return s.await(ctx, req.SKU, req.MinVersion)
	case version == 0:
		return catalog.Product{}, catalog.ErrUnknown
	}
	return p, nil
}

// await answers a product once it has reached a version.
func (s *Service) await(ctx context.Context, sku string, version uint64) (catalog.Product, error) {
	p, now, err := s.products.Await(ctx, sku, version)
	switch {
	case err != nil:
		return catalog.Product{}, err
	case now == 0:
		return catalog.Product{}, catalog.ErrUnknown
	}
	s.reading.Changed(sku, now)
	return productView(sku, p, now), nil
}

// findsAtOnce is how many products of one request are looked up at a time.
const findsAtOnce = 16

// find answers those of the products that there are.
func (s *Service) find(ctx context.Context, req catalog.FindProducts) (catalog.FoundProducts, error) {
	found := make([]catalog.Product, len(req.SKUs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(findsAtOnce)
	for i, sku := range req.SKUs {
		group.Go(func() error {
			p, version, err := s.reading.Current(ctx, sku)
			if err == nil && version > 0 {
				found[i] = p
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return catalog.FoundProducts{}, err
	}
	return catalog.FoundProducts{Products: slices.DeleteFunc(found, func(p catalog.Product) bool { return p.SKU == "" })}, nil
}

func productView(sku string, p domain.Product, version uint64) catalog.Product {
	return catalog.Product{SKU: sku, Name: p.Name, Price: p.Price, Active: p.Active, Version: version}
}
