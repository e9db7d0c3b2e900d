// Package setup configures the kernel's side of a TUN device, through netlink.
// Package tun does without it, and so without netlink, where the device has
// been set up by somebody else.
package setup
