"""Commands on one network: inspect, fuse, export, freeze, bench."""
