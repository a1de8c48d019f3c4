package catalog

import (
	"context"

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
	return productView(req.SKU, p, version), nil
}

func (s *Service) get(ctx context.Context, req catalog.GetProduct) (catalog.Product, error) {
	return s.await(ctx, req.SKU, req.MinVersion)
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
	return productView(sku, p, now), nil
}

func productView(sku string, p domain.Product, version uint64) catalog.Product {
	return catalog.Product{SKU: sku, Name: p.Name, Price: p.Price, Active: p.Active, Version: version}
}
