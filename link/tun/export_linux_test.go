package tun

import "github.com/sluicenet/sluice/link/internal/tuntap"

const (
	devNetTun = tuntap.DevNetTun
	smallPage = tuntap.SmallPage
	copyLimit = tuntap.CopyLimit
)

var setInterface = tuntap.SetInterface

func explainOpen(err error) error { return tuntap.ExplainOpen(tuntap.TUN, err) }

func explainAttach(err error, name string) error { return tuntap.ExplainAttach(tuntap.TUN, err, name) }
