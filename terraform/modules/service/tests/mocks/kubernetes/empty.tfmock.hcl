# A namespace with nothing in it.
mock_data "kubernetes_resources" {
  defaults = {
    objects = []
  }
}
