"""What runs steps: a driver knows epochs, data order, reports and checkpoints."""
