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
	p, version, err := s.products.Get(ctx, req.SKU)
	if err != nil {
		return catalog.Product{}, err
	}
	if version == 0 {
		return catalog.Product{}, catalog.ErrUnknown.At("/sku")
	}
	return productView(req.SKU, p, version), nil
}

func productView(sku string, p domain.Product, version uint64) catalog.Product {
	return catalog.Product{SKU: sku, Name: p.Name, Price: p.Price, Active: p.Active, Version: version}
}
