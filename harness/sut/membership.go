package sut

import "context"

// Membership is a System whose members can be changed while it runs. Its methods may be called
// concurrently. They try once: who does not lead refuses.
type Membership interface {
	// Joining says how self, which is no member, is made one of the cluster of members. all are all
	// nodes that there are or will be: the members, self, and those that may join later.
	Joining(self Node, members, all []Node) Joining
	// Members asks n who the voting members are, as far as n knows. While a change is under way
	// both the old and the new ones are.
	Members(ctx context.Context, n Node) ([]NodeID, error)
	// SetMembers asks n to make want the voting members, and returns when that is in force. A
	// system that can not go there in one step returns [errors.ErrUnsupported]. Any error that is
	// not [Definite] leaves open whether the change takes place.
	SetMembers(ctx context.Context, n Node, want []Node) error
	// Transfer asks n to hand leadership over to another member, and returns when that leads.
	Transfer(ctx context.Context, n, to Node) error
}

// Joining is how a node becomes a member.
type Joining struct {
	// Command starts its process.
	Command
	// AddFirst says that the cluster has to be told of it before its process is started; otherwise
	// the process has to run first.
	AddFirst bool
	// Wipe says that a node that was a member once comes back with an empty disk. Otherwise it
	// comes back with the disk that it left, and can never be a member again without it.
	Wipe bool
}
