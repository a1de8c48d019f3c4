package rpc

import (
	"context"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// CallRaw is [Call] for who passes requests on without knowing their types, as a gateway
// does: body is the request's JSON, and so is what is returned. The reply was sent by a
// service of the mesh and is not looked into.
func CallRaw(ctx context.Context, c *Client, m contract.MethodInfo, body []byte, opts ...CallOption) ([]byte, error) {
	reply, err := c.call(ctx, c.target(&m), body, opts)
	if err != nil {
		return nil, err
	}
	return reply.Data, nil
}
